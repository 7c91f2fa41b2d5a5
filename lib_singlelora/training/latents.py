"""Pictures to latents, each version encoded once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..crops.buckets import fit_to_bucket
from ..errors import TrainingError
from ..host import TrainingModel
from ..imaging.load import load_picture
from ..imaging.mask_reader import read_mask
from ..ops.allocator import give_back
from .augment import COLOR_CHANCE, COLOR_VERSIONS, color_version
from .epoch_plan import Picture


@dataclass(frozen=True)
class Version:
    """What a sample shows of its picture.

    color: 0 as it is, from 1 on one of the colour versions.
    """

    mirrored: bool = False
    color: int = 0


@dataclass(frozen=True)
class Versions:
    """The versions that settings ask for.

    symmetric: pictures that may be are mirrored without `flip` too.
    """

    flip: bool = False
    color: bool = False
    symmetric: bool = False

    def of(self, picture: Picture) -> Versions:
        """Those of one picture; a regularization picture is shown as it is."""
        if picture.regularization:
            return Versions()
        return Versions(self.flip or (self.symmetric and picture.symmetric), self.color)

    def all(self) -> Iterator[Version]:
        """Every one that the cache must hold."""
        for mirrored in (False, True) if self.flip else (False,):
            for color in range(COLOR_VERSIONS + 1) if self.color else (0,):
                yield Version(mirrored, color)

    def make_batch(self, chance: random.Random) -> Version:
        """One for a sample."""
        mirrored = self.flip and chance.random() < 0.5
        color = (
            chance.randint(1, COLOR_VERSIONS)
            if self.color and chance.random() < COLOR_CHANCE
            else 0
        )
        return Version(mirrored, color)


PLAIN = Version()


def to_pixels(image: Image.Image) -> Tensor:
    """RGB picture to (1, 3, H, W) in [-1, 1]."""
    values = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def load_version(picture: Picture, version: Version) -> Image.Image:
    """The picture in its bucket's size, augmented."""
    image = fit_to_bucket(load_picture(picture.path).image, picture.bucket)
    if version.color:
        image = color_version(image, random.Random(f"{picture.path.name}/{version.color}"))
    return ImageOps.mirror(image) if version.mirrored else image


class LatentCache:
    """Latents (1, 4, h, w) of every version of every picture, and the masks of those that have one."""

    def __init__(self) -> None:
        self._latents: dict[tuple[Path, tuple[int, int], Version], Tensor] = {}
        self._masks: dict[Path, Tensor] = {}

    def fill(
        self,
        model: TrainingModel,
        pictures: Sequence[Picture],
        versions: Versions,
        each: Callable[[int, int], None],
    ) -> None:
        """Encode what is missing; `each(done, total)` is called before every picture and may raise
        to stop.
        """
        wanted = [
            (picture, version) for picture in pictures for version in versions.of(picture).all()
        ]
        for done, (picture, version) in enumerate(wanted):
            each(done, len(wanted))
            key = (picture.path, picture.bucket, version)
            if key not in self._latents:
                self._latents[key] = _encoded(model, picture, version)
        give_back()  # what encoding needed: the training takes memory in other pieces

    def get(self, picture: Picture, version: Version = PLAIN) -> Tensor:
        """The latents of a picture that was filled in."""
        return self._latents[(picture.path, picture.bucket, version)]

    def mask(self, picture: Picture, mirrored: bool) -> Tensor:
        """(1, 1, H, W), 0 to 1, in the bucket's size: where she is; ones for a picture without a
        mask.
        """
        if picture.path not in self._masks:
            self._masks[picture.path] = _load_mask(picture)
        found = self._masks[picture.path]
        return found.flip(-1) if mirrored else found


def _encoded(model: TrainingModel, picture: Picture, version: Version) -> Tensor:
    """Latents on the CPU.  Raises: TrainingError, naming the picture that the VAE cannot encode."""
    try:
        with torch.no_grad():
            found = model.encode_images(to_pixels(load_version(picture, version))).float().cpu()
    except TrainingError as error:
        raise TrainingError(f"{picture.path.name}: {error}") from error
    if not bool(torch.isfinite(found).all()):
        raise TrainingError(
            f"{picture.path.name}: the VAE gave NaN for this picture, expected numbers; choose"
            " another VAE, or take the picture out"
        )
    return found


def _load_mask(picture: Picture) -> Tensor:
    width, height = picture.bucket
    if picture.mask is None:
        return torch.ones(1, 1, height, width)
    whole = read_mask(picture.mask.path).image
    piece = fit_to_bucket(whole.crop(picture.mask.box), picture.bucket)
    return torch.from_numpy(np.asarray(piece, np.float32) / 255)[None, None]
