"""Pictures to latents, each encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..dataset.buckets import fit_to_bucket
from ..host import TrainingModel
from ..imaging.load import load_picture
from .samples import Picture


def to_pixels(image: Image.Image) -> Tensor:
    """RGB picture to (1, 3, H, W) in [-1, 1]."""
    values = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


class LatentCache:
    """Latents (1, 4, h, w) of every picture, and of its mirror image where flip augmentation is on."""

    def __init__(self) -> None:
        self._latents: dict[tuple[Path, tuple[int, int], bool], Tensor] = {}

    def fill(self, model: TrainingModel, pictures: Sequence[Picture], flip: bool,
             each: Callable[[int, int], None]) -> None:
        """Encode what is missing; `each(done, total)` is called before every picture and may raise to stop."""
        versions = [(picture, mirrored) for picture in pictures for mirrored in ((False, True) if flip else (False,))]
        for done, (picture, mirrored) in enumerate(versions):
            each(done, len(versions))
            key = (picture.path, picture.bucket, mirrored)
            if key in self._latents:
                continue
            image = fit_to_bucket(load_picture(picture.path).image, picture.bucket)
            if mirrored:
                image = ImageOps.mirror(image)
            with torch.no_grad():
                self._latents[key] = model.encode_images(to_pixels(image)).float().cpu()

    def get(self, picture: Picture, mirrored: bool = False) -> Tensor:
        """The latents of a picture that was filled in."""
        return self._latents[(picture.path, picture.bucket, mirrored)]
