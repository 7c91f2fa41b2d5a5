"""Enlarging a picture."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from ..errors import ImageModelError
from ..host import Upscaler

MODEL_FILES = (".safetensors", ".pth", ".pt", ".ckpt")
LANCZOS = "Lanczos"


def choose_upscaler(
    wish: str, hosts: Sequence[Upscaler], each: Callable[[int, int], None]
) -> Upscaler | None:
    """The upscaler that a setting names; None for Lanczos.

    wish: a model file, the name of one of the host's upscalers, 'Lanczos', or empty for the host's
        best.
    hosts: the host's upscalers, best first.
    each: called with (tiles done, total) by a model file; may raise to stop.
    Raises: ImageModelError, for an unknown name, a missing file or one that is no upscaler;
        MissingPackageError.
    """
    wish = wish.strip()
    if not wish:
        return next(iter(hosts), None)
    path = Path(wish).expanduser()
    if path.suffix.lower() in MODEL_FILES or path.is_file():
        from .esrgan import ModelUpscaler  # it imports torch, which takes seconds

        return ModelUpscaler(path, each)
    names = {upscaler.name.lower(): upscaler for upscaler in hosts}
    if wish.lower() in names:
        return names[wish.lower()]
    if wish.lower() == LANCZOS.lower():
        return None
    known = [*dict.fromkeys([*(upscaler.name for upscaler in hosts), LANCZOS])]
    near = difflib.get_close_matches(wish, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; give a model file's path, or one of these"
    raise ImageModelError(
        f"prepare.upscaler: found {wish!r}, expected a model file ({', '.join(MODEL_FILES)}) or one"
        f" of {', '.join(known)}{hint}"
    )


def enlarge(
    image: Image.Image, alpha: Image.Image | None, long_side: int, upscaler: Upscaler | None = None
) -> tuple[Image.Image, Image.Image | None, str]:
    """Picture and alpha with a long side of at least `long_side` pixels, and a note of it.

    The note is empty where nothing was done.  The upscaler enlarges the picture; without one, and
    for what an upscaler of fixed scale misses, Lanczos does.
    """
    if max(image.size) >= long_side:
        return image, alpha, ""
    scale = long_side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    method = upscaler.name if upscaler else LANCZOS
    note = f"enlarged from {image.width}x{image.height} to {size[0]}x{size[1]} with {method}"
    enlarged = upscaler.upscale(image, scale).convert("RGB") if upscaler else image
    if enlarged.size != size:
        enlarged = enlarged.resize(size, Image.Resampling.LANCZOS)
    return enlarged, alpha.resize(size, Image.Resampling.LANCZOS) if alpha else None, note
