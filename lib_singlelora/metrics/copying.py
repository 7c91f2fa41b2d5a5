"""How near a drawn picture is to a training crop or a part of one: colours in their places, a
perceptual hash, latents.
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

MAP = 16  # cells on a side of the map of colours by which the place is found
SEARCHED = 192  # pixels: crops are searched at this size
# Windows of a crop: the smallest, the next size, the step as a share of the side
SMALLEST, FINER, STRIDE = 0.4, 0.8, 1 / 6
Floats = NDArray[np.float32]
RelativeBox = tuple[float, float, float, float]


def perceptual_hash(image: Image.Image) -> NDArray[np.bool_]:
    """64 bits: which of the 8×8 lowest frequencies of the grey picture are above their median.

    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions",
    section 3.2.1 (DCT hash).
    """
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    waves = np.cos(np.pi * np.outer(np.arange(1, 9), 2 * np.arange(32) + 1) / 64)
    low = (waves @ grey @ waves.T).reshape(-1)
    bits: NDArray[np.bool_] = low > np.median(low)
    return bits


def hash_similarity(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """1 for equal hashes, 0 for those of pictures that have nothing to do with one another (half of
    the bits differ).
    """
    return max(0.0, 1 - 2 * float((one != other).mean()))


def colour_map(image: Image.Image) -> Floats:
    """(3 × MAP²,): CIELAB of the small picture without its mean, of length 1; the product of two is
    their likeness.
    """
    lab = to_lab(image.convert("RGB").resize((MAP, MAP), Image.Resampling.BOX)).reshape(-1, 3)
    return _unit(lab - lab.mean(axis=0))


def latent_maps(
    images: Sequence[Image.Image], model: TrainingModel, side: int, batch: int = 8
) -> list[Floats]:
    """The VAE's latents of pictures resized to `side` (pixels, a multiple of 8), without their
    mean, each of length 1.
    """
    found: list[Floats] = []
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
        found += [
            _unit(each) for each in (latents - latents.mean(dim=(2, 3), keepdim=True)).numpy()
        ]
    return found


def _unit(values: Floats) -> Floats:
    flat = np.asarray(values, dtype=np.float32).reshape(-1)
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6), dtype=np.float32)


@dataclass(frozen=True)
class Match:
    """The training crop that a picture is most like.

    box: where in it (left, top, right, bottom; shares).
    similarity: 0 to 1.
    """

    crop: str
    box: RelativeBox
    similarity: float


class Copies:
    """Looks for pictures in the crops.

    model: for its VAE; None compares colours and hashes alone.
    """

    def __init__(
        self, crops: Mapping[str, Image.Image], model: TrainingModel | None = None, side: int = 64
    ) -> None:
        self._crops = {name: image.convert("RGB") for name, image in crops.items()}
        self._model, self._side = model, max(32, side // 8 * 8)
        self._places: list[tuple[str, RelativeBox]] = []
        maps: list[Floats] = []
        for name, image in self._crops.items():
            small = image.copy()
            small.thumbnail((SEARCHED, SEARCHED), Image.Resampling.BOX)
            for box in sliding_windows(small.width, small.height):
                self._places.append((name, box))
                maps.append(colour_map(crop_part(small, box)))
        self._maps = np.stack(maps) if maps else np.zeros((0, 3 * MAP * MAP), np.float32)
        self._known: dict[int, tuple[NDArray[np.bool_], Floats | None]] = {}

    def find(self, images: Sequence[Image.Image]) -> list[Match]:
        """Of each picture the place in a crop that it is most like; a match without a crop where
        there are no crops.
        """
        if not self._places:
            return [Match("", (0, 0, 1, 1), 0.0) for _ in images]
        alike = np.stack([colour_map(image) for image in images]) @ self._maps.T
        best = alike.argmax(axis=1)
        new = [int(index) for index in dict.fromkeys(best) if int(index) not in self._known]
        pieces = [
            crop_part(self._crops[self._places[index][0]], self._places[index][1]) for index in new
        ]
        both = [*images, *pieces]
        latents = latent_maps(both, self._model, self._side) if self._model else [None] * len(both)
        for index, piece, latent in zip(new, pieces, latents[len(images) :], strict=True):
            self._known[index] = (perceptual_hash(piece), latent)
        found = []
        for row, index, image, latent in zip(alike, best, images, latents, strict=False):
            bits, features = self._known[int(index)]
            parts = [max(0.0, float(row[index])), hash_similarity(perceptual_hash(image), bits)]
            if latent is not None and features is not None:
                parts.append(max(0.0, float(latent @ features)))
            found.append(Match(*self._places[int(index)], sum(parts) / len(parts)))
        return found


def sliding_windows(width: int, height: int) -> Iterator[RelativeBox]:
    """Squares of several sizes all over a picture, and the whole of it, as shares of its sides."""
    yield (0.0, 0.0, 1.0, 1.0)
    whole = min(width, height)
    side = float(whole)
    while side >= SMALLEST * whole:
        for top in np.linspace(0, height - side, int((height - side) / (side * STRIDE)) + 1):
            for left in np.linspace(0, width - side, int((width - side) / (side * STRIDE)) + 1):
                yield (
                    float(left) / width,
                    float(top) / height,
                    float(left + side) / width,
                    float(top + side) / height,
                )
        side *= FINER


def crop_part(image: Image.Image, box: RelativeBox) -> Image.Image:
    """A part of a picture.  box: shares of its sides."""
    left, top, right, bottom = (
        round(share * size) for share, size in zip(box, image.size * 2, strict=True)
    )
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def copying_score(likenesses: Sequence[float], base: float) -> float:
    """0 where pictures are as like their nearest crop as the checkpoint's own are, 1 where they are
    that crop.
    """
    mean = sum(likenesses) / len(likenesses) if likenesses else 0.0
    return min(1.0, max(0.0, (mean - base) / (1 - base))) if base < 1 else 0.0
