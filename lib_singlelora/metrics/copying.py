"""How near a drawn picture is to a training crop or a part of one.

Compared are colours in their places, a perceptual hash, and latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..host import TrainingModel
from ..imaging.colour import to_lab

MAP_SIDE = 16  # cells on a side of the colour map by which the place is found
SEARCH_SIDE = 192  # pixels; crops are searched at this size
# Windows of a crop: the smallest as a share of its shorter side, the factor from one size to the
# next, the step as a share of a window's side
SMALLEST = 0.4
SHRINK = 0.8
STRIDE = 1 / 6
Floats = NDArray[np.float32]
Bits = NDArray[np.bool_]
RelativeBox = tuple[float, float, float, float]  # left, top, right, bottom; shares of the sides


def perceptual_hash(image: Image.Image) -> Bits:
    """64 bits: which of the 8×8 lowest frequencies of the grey picture are above their median.

    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions",
    section 3.2.1 (DCT hash).
    """
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    waves = np.cos(np.pi * np.outer(np.arange(1, 9), 2 * np.arange(32) + 1) / 64)
    low = (waves @ grey @ waves.T).reshape(-1)
    bits: Bits = low > np.median(low)
    return bits


def hash_similarity(one: Bits, other: Bits) -> float:
    """1 for equal hashes, 0 for those of unrelated pictures, of which half of the bits differ."""
    return max(0.0, 1 - 2 * float((one != other).mean()))


def colour_map(image: Image.Image) -> Floats:
    """CIELAB of the small picture without its mean, of length 1; (3 × MAP_SIDE²,).

    The product of two is their similarity.
    """
    small = image.convert("RGB").resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)
    lab = to_lab(small).reshape(-1, 3)
    return _normalized(lab - lab.mean(axis=0))


def latent_maps(
    images: Sequence[Image.Image], model: TrainingModel, side: int, batch: int = 8
) -> list[Floats]:
    """The VAE's latents of the pictures, without their mean, each of length 1.

    side: pixels to which pictures are resized, a multiple of 8.
    """
    maps: list[Floats] = []
    for start in range(0, len(images), batch):
        small = [
            np.asarray(
                image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC),
                dtype=np.float32,
            )
            for image in images[start : start + batch]
        ]
        pixels = torch.from_numpy(np.stack(small) / 127.5 - 1).permute(0, 3, 1, 2)
        with torch.no_grad():
            latents = model.encode_images(pixels.to(model.device)).float().cpu()
        centred = (latents - latents.mean(dim=(2, 3), keepdim=True)).numpy()
        maps += [_normalized(latent) for latent in centred]
    return maps


def _normalized(values: Floats) -> Floats:
    flat = np.asarray(values, dtype=np.float32).reshape(-1)
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6), dtype=np.float32)


@dataclass(frozen=True)
class Match:
    """The part of a training crop that a picture is most like.

    crop: its name; '' where there are no crops.
    box: the part.
    similarity: 0 to 1.
    """

    crop: str
    box: RelativeBox
    similarity: float


class Copies:
    """Looks for pictures in the training crops.

    crops: by name.
    model: for its VAE; None compares colours and hashes alone.
    side: pixels at which latents are compared.
    """

    def __init__(
        self, crops: Mapping[str, Image.Image], model: TrainingModel | None = None, side: int = 64
    ) -> None:
        self._crops = {name: image.convert("RGB") for name, image in crops.items()}
        self.model = model
        self._side = max(32, side // 8 * 8)
        self._windows: list[tuple[str, RelativeBox]] = []
        maps: list[Floats] = []
        for name, image in self._crops.items():
            small = image.copy()
            small.thumbnail((SEARCH_SIDE, SEARCH_SIDE), Image.Resampling.BOX)
            for box in sliding_windows(small.width, small.height):
                self._windows.append((name, box))
                maps.append(colour_map(crop_part(small, box)))
        self._maps = np.stack(maps) if maps else np.zeros((0, 3 * MAP_SIDE * MAP_SIDE), np.float32)
        # Hash and latents of the windows that were some picture's best, by index
        self._features: dict[int, tuple[Bits, Floats | None]] = {}

    def find(self, images: Sequence[Image.Image]) -> list[Match]:
        """Of each picture the part of a crop that it is most like.

        The colour map finds the place; hash and latents then are compared there alone.
        """
        if not self._windows:
            return [Match("", (0, 0, 1, 1), 0.0) for _ in images]
        alike = np.stack([colour_map(image) for image in images]) @ self._maps.T
        best = alike.argmax(axis=1)
        new = [int(index) for index in dict.fromkeys(best) if int(index) not in self._features]
        parts = [self._part(index) for index in new]
        pictures = [*images, *parts]
        latents: Sequence[Floats | None] = [None] * len(pictures)
        if self.model:
            latents = latent_maps(pictures, self.model, self._side)
        for index, part, latent in zip(new, parts, latents[len(images) :], strict=True):
            self._features[index] = (perceptual_hash(part), latent)
        matches = []
        for row, index, image, latent in zip(alike, best, images, latents, strict=False):
            bits, features = self._features[int(index)]
            values = [max(0.0, float(row[index])), hash_similarity(perceptual_hash(image), bits)]
            if latent is not None and features is not None:
                values.append(max(0.0, float(latent @ features)))
            matches.append(Match(*self._windows[int(index)], sum(values) / len(values)))
        return matches

    def _part(self, window: int) -> Image.Image:
        name, box = self._windows[window]
        return crop_part(self._crops[name], box)


def sliding_windows(width: int, height: int) -> Iterator[RelativeBox]:
    """The whole of a picture, then squares of several sizes all over it.

    width, height: of the picture, pixels.
    """
    yield (0.0, 0.0, 1.0, 1.0)
    shorter = min(width, height)
    side = float(shorter)
    while side >= SMALLEST * shorter:
        for top in np.linspace(0, height - side, int((height - side) / (side * STRIDE)) + 1):
            for left in np.linspace(0, width - side, int((width - side) / (side * STRIDE)) + 1):
                yield (
                    float(left) / width,
                    float(top) / height,
                    float(left + side) / width,
                    float(top + side) / height,
                )
        side *= SHRINK


def crop_part(image: Image.Image, box: RelativeBox) -> Image.Image:
    """The part of a picture in a box."""
    left, top, right, bottom = (
        round(share * size) for share, size in zip(box, image.size * 2, strict=True)
    )
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def copying_score(similarities: Sequence[float], base: float) -> float:
    """0 where pictures are as near to their crops as the checkpoint's own, 1 where they equal them.

    similarities: of the pictures with their nearest crops.
    base: mean similarity of the checkpoint's own pictures.
    """
    mean = sum(similarities) / len(similarities) if similarities else 0.0
    return min(1.0, max(0.0, (mean - base) / (1 - base))) if base < 1 else 0.0
