"""Latents are encoded when a step asks for them, and are the same then."""

from __future__ import annotations

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
