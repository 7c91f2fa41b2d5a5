"""Enlarging a picture."""

from __future__ import annotations

from PIL import Image

from ..host import Upscaler


def enlarge(image: Image.Image, alpha: Image.Image | None, long_side: int,
            upscaler: Upscaler | None = None) -> tuple[Image.Image, Image.Image | None, str]:
    """Picture and alpha with a long side of at least `long_side` pixels, and a note (empty: nothing was done).

    The upscaler enlarges the picture; without one, and for what an upscaler of fixed scale misses, Lanczos does.
    """
    if max(image.size) >= long_side:
        return image, alpha, ""
    scale = long_side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    method = upscaler.name if upscaler else "Lanczos"
    note = f"enlarged from {image.width}x{image.height} to {size[0]}x{size[1]} with {method}"
    enlarged = upscaler.upscale(image, scale).convert("RGB") if upscaler else image
    if enlarged.size != size:
        enlarged = enlarged.resize(size, Image.Resampling.LANCZOS)
    return enlarged, alpha.resize(size, Image.Resampling.LANCZOS) if alpha else None, note
