"""Latents are encoded when a step asks for them, and are the same then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_singlelora.errors import JobCancelled, PictureError
from lib_singlelora.training import latents
from lib_singlelora.training.epoch_plan import MaskPart, Picture
from lib_singlelora.training.latents import LatentCache, Version, Versions

from .tiny_model import TinyModel

VERSIONS = Versions(flip=True, color=True, backdrops=True)


class CountingModel(TinyModel):
    """Counts what it encodes."""

    encoded = 0

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.encoded += 1
        return super().encode_images(pixels)


@pytest.fixture
def drawn(tmp_path: Path) -> list[Picture]:
    rng = np.random.default_rng(0)
    Image.new("L", (96, 96), 255).save(tmp_path / "mask.png")
    for name in ("a", "b"):
        pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    mask = MaskPart(tmp_path / "mask.png", (8, 8, 88, 88))
    return [
        Picture(tmp_path / "a.png", "a", (64, 64), mask=mask),
        Picture(tmp_path / "b.png", "b", (32, 64)),
    ]


def nothing() -> None:
    """No progress is told."""


def test_what_is_encoded_when_asked_is_what_is_encoded_ahead(drawn: list[Picture]) -> None:
    ahead = LatentCache()
    ahead.fill(TinyModel(), drawn, VERSIONS, lambda done, total: None)
    model = CountingModel()
    asked = LatentCache()
    asked.fill_when_asked(model, drawn, nothing)
    assert model.encoded == 0
    for number, picture in enumerate(drawn, 1):
        for version in VERSIONS.of(picture).all():
            assert torch.equal(asked.get(picture, version), ahead.get(picture, version))
        assert torch.equal(asked.get(picture), ahead.get(picture))
        assert model.encoded == sum(len(list(VERSIONS.of(p).all())) for p in drawn[:number])


def test_a_damaged_file_is_told_before_the_first_step(drawn: list[Picture]) -> None:
    path = drawn[1].path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PictureError, match=r"b\.png"):
        LatentCache().fill_when_asked(TinyModel(), drawn, nothing)


def test_reading_can_be_cancelled(drawn: list[Picture]) -> None:
    def cancelled() -> None:
        raise JobCancelled("cancelled")

    with pytest.raises(JobCancelled):
        LatentCache().fill_when_asked(TinyModel(), drawn, cancelled)


def test_a_picture_is_read_once_where_memory_allows(
    drawn: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    original = latents.load_picture

    def counted(path: Path) -> object:
        reads.append(path)
        return original(path)

    monkeypatch.setattr(latents, "load_picture", counted)
    monkeypatch.setattr(latents, "KEPT_BYTES", 3 * 64 * 64)  # the first one's
    cache = LatentCache()
    cache.fill_when_asked(TinyModel(), drawn, nothing)
    for picture in drawn:
        cache.get(picture, Version())
        cache.get(picture, Version(mirrored=True))
    assert reads.count(drawn[0].path) == 1
    assert reads.count(drawn[1].path) == 3


def edit(path: Path) -> None:
    """Another picture of the same size under the same name."""
    with Image.open(path) as image:
        inverted = Image.eval(image, lambda value: 255 - value)
    inverted.save(path)


def test_what_is_edited_during_a_training_does_not_count(
    drawn: list[Picture], tmp_path: Path
) -> None:
    ahead = LatentCache()
    ahead.fill(TinyModel(), drawn, VERSIONS, lambda done, total: None)
    masks = [ahead.mask(picture, mirrored=True) for picture in drawn]
    asked = LatentCache()
    asked.share(tmp_path / "shared", "tiny")
    (tmp_path / "shared").mkdir()
    asked.fill_when_asked(TinyModel(), drawn, nothing)
    for name in ("a.png", "b.png", "mask.png"):
        edit(tmp_path / name)
    for picture, mask in zip(drawn, masks, strict=True):
        assert torch.equal(asked.mask(picture, mirrored=True), mask)
        for version in VERSIONS.of(picture).all():
            assert torch.equal(asked.get(picture, version), ahead.get(picture, version))
    # Another training must not find the old latents under the new picture's name
    now = LatentCache()
    now.share(tmp_path / "shared", "tiny")
    now.fill_when_asked(TinyModel(), drawn, nothing)
    assert not torch.equal(now.get(drawn[1]), ahead.get(drawn[1]))


@pytest.mark.parametrize("change", [edit, Path.unlink])
def test_a_picture_that_memory_does_not_hold_must_stay_as_it_was(
    drawn: list[Picture], monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(latents, "KEPT_BYTES", 3 * 64 * 64)  # the first one's
    cache = LatentCache()
    cache.fill_when_asked(TinyModel(), drawn, nothing)
    cache.get(drawn[1])
    for picture in drawn:
        change(picture.path)
    cache.get(drawn[0])
    with pytest.raises(PictureError, match=r"b\.png.*expected the one"):
        cache.get(drawn[1], Version(mirrored=True))


def test_pictures_encoded_ahead_leave_the_memory(drawn: list[Picture]) -> None:
    cache = LatentCache()
    cache.fill(TinyModel(), drawn, VERSIONS, lambda done, total: None)
    assert not cache._fitted._images


def test_a_damaged_mask_is_told_each_time_and_never_taken_for_none(drawn: list[Picture]) -> None:
    assert drawn[0].mask is not None
    drawn[0].mask.path.write_bytes(b"no picture")
    cache = LatentCache()
    for _ in range(2):
        with pytest.raises(PictureError, match=r"mask\.png"):
            cache.mask(drawn[0], mirrored=False)
