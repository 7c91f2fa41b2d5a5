"""Enlarging by an upscaler's model file, tile by tile.

ESRGAN and whatever else the package spandrel knows.
"""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageModelError, MissingPackageError
from ..files.weights import UnreadableWeights, read_pickle, read_safetensors

log = logging.getLogger(__name__)

MARGIN = 16  # pixels around a tile that are computed and discarded, so that no seam shows
# Sides without the margin, pixels; small on the CPU, so that it can be cancelled soon.
TILE = {"cuda": 512, "cpu": 192}
SMALLEST_TILE = 64
MOST_PASSES = 3
MOST_PIXELS = 100_000_000  # of the enlarged picture, before it is resized to the wanted size
# The keys under which training tools put the weights in a file.
WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
PIP = "python -m pip install --no-deps spandrel einops"


class ModelUpscaler:
    """An upscaler from its file, as `host.Upscaler`.

    each: called with (tiles done, total); may raise to stop.
    device: default cuda where it is available, else cpu.
    tile: side of a tile, pixels; default by the device.
    Raises: ImageModelError, if the file is no upscaler; MissingPackageError, without spandrel.
    """

    def __init__(
        self,
        path: Path,
        each: Callable[[int, int], None] = lambda done, total: None,
        device: str | None = None,
        tile: int | None = None,
    ) -> None:
        self.name = path.name
        self._each = each
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._tile = tile or TILE.get(self._device, TILE["cpu"])
        self._model = load_model(path).to(self._device).eval()
        self.scale = int(self._model.scale)

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        """The picture enlarged by `scale`.

        The model is applied until its own scale reaches that, at most MOST_PASSES times; Lanczos
        does the rest.
        """
        target = max(image.size) * scale
        for _ in range(MOST_PASSES):
            image = self._once(_bounded(image, self.scale))
            if max(image.size) >= target or self.scale == 1:
                break
        size = (
            max(1, round(image.width * target / max(image.size))),
            max(1, round(image.height * target / max(image.size))),
        )
        return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)

    def _once(self, image: Image.Image) -> Image.Image:
        while True:
            try:
                return self._tiled(np.asarray(image.convert("RGB")))
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                if self._tile <= SMALLEST_TILE:
                    raise ImageModelError(
                        f"{self.name}: the GPU's memory is too small for tiles of {self._tile}"
                        " pixels; free some, or set prepare.upscaler to Lanczos"
                    ) from None
                self._tile //= 2
                log.warning(
                    "%s: out of GPU memory; continuing with tiles of %d pixels",
                    self.name,
                    self._tile,
                )

    def _tiled(self, pixels: NDArray[np.uint8]) -> Image.Image:
        height, width = pixels.shape[:2]
        out = np.empty((height * self.scale, width * self.scale, 3), dtype=np.uint8)
        places = [
            (top, left)
            for top in range(0, height, self._tile)
            for left in range(0, width, self._tile)
        ]
        for done, (top, left) in enumerate(places):
            self._each(done, len(places))
            bottom = min(height, top + self._tile)
            right = min(width, left + self._tile)
            outer_top = max(0, top - MARGIN)
            outer_left = max(0, left - MARGIN)
            tile = pixels[outer_top : bottom + MARGIN, outer_left : right + MARGIN]
            enlarged = self._compute(tile)
            rows = slice((top - outer_top) * self.scale, (bottom - outer_top) * self.scale)
            columns = slice((left - outer_left) * self.scale, (right - outer_left) * self.scale)
            out[top * self.scale : bottom * self.scale, left * self.scale : right * self.scale] = (
                enlarged[rows, columns]
            )
        self._each(len(places), len(places))
        return Image.fromarray(out)

    def _compute(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(self._device)
            enlarged = self._model(batch.float() / 255)[0].float()
            if not torch.isfinite(enlarged).all():
                raise ImageModelError(
                    f"{self.name}: the model gives non-finite values (NaN); get the file again"
                )
            values: NDArray[np.uint8] = (
                (enlarged.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            )
        return values


def _bounded(image: Image.Image, scale: int) -> Image.Image:
    """The picture, reduced if the enlarged one would have more than MOST_PIXELS."""
    factor = (MOST_PIXELS / (image.width * image.height * scale**2)) ** 0.5
    if factor >= 1:
        return image
    return image.resize(
        (max(1, int(image.width * factor)), max(1, int(image.height * factor))),
        Image.Resampling.LANCZOS,
    )


def load_model(path: Path) -> Any:
    """spandrel's descriptor of an RGB upscaler.  Raises: ImageModelError, MissingPackageError."""
    weights = read_weights(path)
    spandrel = import_spandrel()
    expected = (
        "expected an upscaler for RGB pictures (ESRGAN, Real-ESRGAN, SwinIR, … as .safetensors or"
        " .pth)"
    )
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_state_dict(weights)
    except spandrel.UnsupportedModelError:
        first = next(iter(weights))
        raise ImageModelError(
            f"{path.name}: found weights of no architecture that spandrel knows (first: {first!r}),"
            f" {expected}; choose another file"
        ) from None
    except (
        RuntimeError,
        KeyError,
        ValueError,
        IndexError,
        AttributeError,
        AssertionError,
    ) as error:
        raise ImageModelError(
            f"{path.name}: found weights that do not fit together ({_first_line(error)}),"
            f" {expected}; get the file again"
        ) from None
    if (
        not isinstance(model, spandrel.ImageModelDescriptor)
        or model.purpose == "FaceSR"
        or (model.input_channels, model.output_channels) != (3, 3)
    ):
        raise ImageModelError(
            f"{path.name}: found a model of {model.architecture.name} with {model.input_channels}"
            f" channels in and {model.output_channels} out, {expected}; choose another file"
        )
    return model


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a model file; a .pth is read as weights only, so that no code in it runs.

    Raises: ImageModelError, for a file without readable tensors.
    """
    if not path.is_file():
        raise ImageModelError(
            f"{path}: found {'a folder' if path.is_dir() else 'no such file'}, expected an"
            " upscaler's model file; check prepare.upscaler"
        )
    try:
        weights: Any = (
            read_safetensors(path)[0]
            if path.suffix.lower() == ".safetensors"
            else read_pickle(path)
        )
    except (UnreadableWeights, OSError) as error:
        raise ImageModelError(
            f"{path.name}: found no weights that can be read ({_first_line(error)}), expected an"
            " upscaler as .safetensors or .pth; get the file again"
        ) from None
    for name in WRAPPERS:
        if isinstance(weights, dict) and isinstance(weights.get(name), dict):
            weights = weights[name]
            break
    pairs = weights.items() if isinstance(weights, dict) else ()
    tensors = {str(key): value for key, value in pairs if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ImageModelError(
            f"{path.name}: found no tensors, expected an upscaler's weights; choose another file"
        )
    for prefix in ("module.", "netG."):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key[len(prefix) :]: value for key, value in tensors.items()}
    return tensors


def import_spandrel() -> Any:
    """The package spandrel.  Raises: MissingPackageError."""
    try:
        with _without_torchvision():
            import spandrel
    except ImportError as error:
        if "spandrel" in sys.modules:
            del sys.modules["spandrel"]
        raise MissingPackageError(
            "an upscaler's model file needs the package spandrel (found no"
            f" {error.name or 'spandrel'}); install it with {PIP}, or set prepare.upscaler to"
            " Lanczos"
        ) from None
    return spandrel


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Let spandrel be imported where torchvision is missing or broken.

    spandrel imports three names of it, for two architectures that do not enlarge.  A torchvision
    built for another PyTorch breaks transformers and diffusers, so it is no requirement of ours.
    This can go when spandrel imports it only where it is used.
    """
    try:
        import torchvision.transforms.functional  # noqa: F401

        missing = False
    except (ImportError, RuntimeError, AttributeError):
        missing = True
    if not missing or "spandrel" in sys.modules:
        yield
        return
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    stand_ins = {name: types.ModuleType(name) for name in names}
    for attribute in ("InterpolationMode", "rotate", "normalize"):
        setattr(stand_ins[names[-1]], attribute, None)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
