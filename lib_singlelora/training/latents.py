"""Pictures to latents, every version encoded once."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..crops.buckets import fit_to_bucket
from ..errors import PictureError, TrainingError
from ..files.fileio import file_hash, fingerprint, write_bytes
from ..host import TrainingModel
from ..imaging.load import load_picture
from ..imaging.mask_reader import read_mask
from ..ops.allocator import give_back
from .augment import (
    BACKDROP_CHANCE,
    BACKDROPS,
    COLOR_CHANCE,
    COLOR_VERSIONS,
    backdrop_version,
    color_version,
)
from .epoch_plan import Picture


@dataclass(frozen=True)
class Version:
    """How a sample shows its picture.

    mirrored: left and right exchanged.
    color: 0 as it is, 1 to COLOR_VERSIONS a colour version.
    backdrop: the plain colour before which the character stands; '' leaves the background.
    """

    mirrored: bool = False
    color: int = 0
    backdrop: str = ""


@dataclass(frozen=True)
class Versions:
    """The versions that settings ask for.

    flip: every picture is mirrored too.
    color: colour versions too.
    symmetric: pictures of a symmetric character are mirrored without `flip` too.
    backdrops: pictures with a mask are shown before plain colours too.
    """

    flip: bool = False
    color: bool = False
    symmetric: bool = False
    backdrops: bool = False

    def of(self, picture: Picture) -> Versions:
        """The versions of one picture; a regularization picture is shown as it is."""
        if picture.regularization:
            return Versions()
        return Versions(
            self.flip or (self.symmetric and picture.symmetric),
            self.color,
            backdrops=self.backdrops and picture.mask is not None,
        )

    def all(self) -> Iterator[Version]:
        """Every version that the cache must hold."""
        for mirrored in (False, True) if self.flip else (False,):
            for color in range(COLOR_VERSIONS + 1) if self.color else (0,):
                yield Version(mirrored, color)
            for backdrop in BACKDROPS if self.backdrops else ():
                yield Version(mirrored, 0, backdrop)

    def choose(self, chance: random.Random) -> Version:
        """A version for one sample."""
        mirrored = self.flip and chance.random() < 0.5
        color = (
            chance.randint(1, COLOR_VERSIONS)
            if self.color and chance.random() < COLOR_CHANCE
            else 0
        )
        backdrop = ""
        if self.backdrops and not color and chance.random() < BACKDROP_CHANCE:
            backdrop = chance.choice(list(BACKDROPS))
        return Version(mirrored, color, backdrop)


PLAIN = Version()
KEPT_BYTES = 64_000_000  # of decoded pictures: 80 of 512 × 512
# Pixels from which on a VAE needs hundreds of megabytes, which a step takes in other pieces
LARGE = 256 * 256


def to_pixels(image: Image.Image) -> Tensor:
    """An RGB picture as (1, 3, H, W) in [-1, 1], fp32."""
    values = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


class FittedPictures:
    """Pictures and masks at their buckets' sizes, as they were when they were first read.

    Up to KEPT_BYTES of pictures are kept; another one is read again when it is wanted, and must
    then be the file that it was: a training goes on with what it began with.
    """

    def __init__(self) -> None:
        self._images: dict[tuple[Path, tuple[int, int]], Image.Image] = {}
        self._masks: dict[tuple[Path, tuple[int, int]], Image.Image] = {}
        self._last_mask: tuple[Path, Image.Image] | None = None
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._hashes: dict[Path, str] = {}
        self._bytes = 0

    def read(self, picture: Picture) -> None:
        """Keep a picture, its mask and its file's hash as they are now.

        Raises: PictureError, for a damaged file.
        """
        self.image(picture)
        self.mask(picture)
        self.hash(picture)

    def image(self, picture: Picture) -> Image.Image:
        """The picture, RGB, which stays as it is.

        Raises: PictureError, for a damaged file, and one that has changed.
        """
        key = (picture.path, picture.bucket)
        if key not in self._images:
            self._check_unchanged(picture.path)
            image = fit_to_bucket(load_picture(picture.path).image, picture.bucket)
            size = 3 * image.width * image.height
            if self._bytes + size > KEPT_BYTES:
                return image
            self._bytes += size
            self._images[key] = image
        return self._images[key]

    def mask(self, picture: Picture) -> Image.Image | None:
        """Where the character is, L, at the bucket's size; None for a picture without a mask.

        Raises: PictureError.
        """
        key = (picture.path, picture.bucket)
        if picture.mask is None:
            return None
        if key not in self._masks:
            part = self._whole_mask(picture.mask.path).crop(picture.mask.box)
            self._masks[key] = fit_to_bucket(part, picture.bucket)
        return self._masks[key]

    def _whole_mask(self, path: Path) -> Image.Image:
        """A mask's file; the last one is kept, as all crops of a picture share it.

        Raises: PictureError.
        """
        if self._last_mask is None or self._last_mask[0] != path:
            self._last_mask = path, read_mask(path).image
        return self._last_mask[1]

    def hash(self, picture: Picture) -> str:
        """What the picture's file held when it was first asked for."""
        if picture.path not in self._hashes:
            self._check_unchanged(picture.path)
            self._hashes[picture.path] = file_hash(picture.path)
        return self._hashes[picture.path]

    def version(self, picture: Picture, version: Version) -> Image.Image:
        """The picture, augmented.

        Raises: PictureError.
        """
        image = self.image(picture)
        if version.color:
            image = color_version(image, random.Random(f"{picture.path.name}/{version.color}"))
        if version.backdrop and (mask := self.mask(picture)):
            image = backdrop_version(image, mask, version.backdrop)
        return ImageOps.mirror(image) if version.mirrored else image

    def drop_images(self) -> None:
        """Give the memory of the pictures back; masks at their buckets' sizes stay."""
        self._images.clear()
        self._bytes = 0
        self._last_mask = None

    def _check_unchanged(self, path: Path) -> None:
        """Raises: PictureError."""
        try:
            found = path.stat()
        except OSError as error:
            raise PictureError(
                f"{path.name}: found no such picture any more ({error.strerror}), expected the one"
                " that the training began with; put it back, or start the training again"
            ) from None
        stamp = (found.st_mtime_ns, found.st_size)
        if self._stamps.setdefault(path, stamp) != stamp:
            raise PictureError(
                f"{path.name}: found a changed picture, expected the one that the training began"
                " with; put that one back, or call 'train' again, which then learns the new one"
            )


class LatentCache:
    """Latents, (1, 4, h, w) on the CPU, of every version of every picture, and the masks."""

    def __init__(self) -> None:
        self._latents: dict[tuple[Path, tuple[int, int], Version], Tensor] = {}
        self._shared: tuple[Path, str] | None = None
        self._fitted = FittedPictures()
        self._encoder: TrainingModel | None = None  # of what is encoded when it is asked for

    def share(self, folder: Path, encoder: str) -> None:
        """From now on keep encoded pictures in a folder that other trainings read too.

        encoder: what else latents depend on, such as the checkpoint and its precision.
        """
        self._shared = (folder, encoder)

    def fill(
        self,
        model: TrainingModel,
        pictures: Sequence[Picture],
        versions: Versions,
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Encode what is missing.

        on_progress: called with (done, total) before every picture; it may raise to stop.
        Raises: TrainingError, naming the picture that the VAE cannot encode.
        """
        needed = [
            (picture, version) for picture in pictures for version in versions.of(picture).all()
        ]
        for done, (picture, version) in enumerate(needed):
            on_progress(done, len(needed))
            key = (picture.path, picture.bucket, version)
            if key not in self._latents:
                self._latents[key] = self._read_or_encode(model, picture, version)
        self._fitted.drop_images()
        give_back()  # what encoding needed: the training takes memory in other pieces

    def fill_when_asked(
        self, model: TrainingModel, pictures: Sequence[Picture], on_progress: Callable[[], None]
    ) -> None:
        """Read every picture and mask; from now on `get` encodes what is missing.

        A step then waits for its own pictures, and not the first one for all: where the VAE
        need not make room for the training, on a CPU.  What is edited meanwhile does not count.
        on_progress: called before every picture; it may raise to stop.
        Raises: PictureError, for a damaged file; `get` raises as `fill`.
        """
        for picture in pictures:
            on_progress()
            self._fitted.read(picture)
        self._encoder = model

    def _read_or_encode(self, model: TrainingModel, picture: Picture, version: Version) -> Tensor:
        # A version before another backdrop depends on the mask too
        if self._shared is None or version.backdrop:
            return self._encode(model, picture, version)
        folder, encoder = self._shared
        mark = fingerprint(encoder, picture.path.name, self._fitted.hash(picture), picture.bucket)
        path = folder / f"{mark}-{fingerprint(*vars(version).values())[:6]}.npy"
        with contextlib.suppress(OSError, ValueError):  # missing, or torn on a network share
            return torch.from_numpy(np.load(path, allow_pickle=False))
        latents = self._encode(model, picture, version)
        data = io.BytesIO()
        np.save(data, latents.numpy(), allow_pickle=False)
        write_bytes(path, data.getvalue())
        return latents

    def _encode(self, model: TrainingModel, picture: Picture, version: Version) -> Tensor:
        """Latents on the CPU, fp32.

        Raises: TrainingError, naming the picture that the VAE cannot encode.
        """
        pixels = to_pixels(self._fitted.version(picture, version))
        try:
            with torch.no_grad():
                latents = model.encode_images(pixels).float().cpu()
        except TrainingError as error:
            raise TrainingError(f"{picture.path.name}: {error}") from error
        if not bool(torch.isfinite(latents).all()):
            raise TrainingError(
                f"{picture.path.name}: the VAE gave non-finite latents for this picture; choose"
                " another VAE, or remove the picture"
            )
        return latents

    def get(self, picture: Picture, version: Version = PLAIN) -> Tensor:
        """The latents of a picture that was filled in, (1, 4, h, w)."""
        key = (picture.path, picture.bucket, version)
        if key not in self._latents and self._encoder is not None:
            self._latents[key] = self._read_or_encode(self._encoder, picture, version)
            if picture.bucket[0] * picture.bucket[1] >= LARGE:
                give_back()
        return self._latents[key]

    def mask(self, picture: Picture, mirrored: bool) -> Tensor:
        """Where the character is, (1, 1, H, W), 0 to 1, at the bucket's size.

        Ones for a picture without a mask.
        """
        fitted = self._fitted.mask(picture)
        if fitted is None:
            width, height = picture.bucket
            return torch.ones(1, 1, height, width)
        mask = torch.from_numpy(np.asarray(fitted, np.float32) / 255)[None, None]
        return mask.flip(-1) if mirrored else mask
