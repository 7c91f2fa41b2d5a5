"""Versions of a picture: colours shifted a little, and other backgrounds that captions name."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_singlelora.training.augment import (
    BACKDROPS,
    MAX_GAMMA_SHIFT,
    backdrop_caption,
    backdrop_version,
    color_version,
)
from lib_singlelora.training.batch import captions_of, make_batch, versions_of
from lib_singlelora.training.epoch_plan import MaskPart, Picture, Sample
from lib_singlelora.training.latents import PLAIN, LatentCache
from tests.training.test_trainer import settings
from tests.training.tiny_model import TinyModel


def test_versions_are_those_of_their_generator_and_differ_from_one_another() -> None:
    image = Image.new("RGB", (4, 3), (200, 60, 120))
    versions = [color_version(image, random.Random(seed)) for seed in range(8)]
    again = [color_version(image, random.Random(seed)) for seed in range(8)]
    assert [np.asarray(a).tolist() for a in versions] == [np.asarray(b).tolist() for b in again]
    assert len({version.tobytes() for version in versions}) > 4
    assert all(version.size == image.size and version.mode == "RGB" for version in versions)


def test_greys_change_by_the_gamma_alone() -> None:
    image = Image.new("RGB", (2, 2), (128, 128, 128))
    limits = [255 * (128 / 255) ** (1 + sign * MAX_GAMMA_SHIFT) for sign in (1, -1)]
    for seed in range(20):
        values = np.asarray(color_version(image, random.Random(seed)))
        assert limits[0] - 1 <= values.min() and values.max() <= limits[1] + 1


def test_a_backdrop_lies_behind_the_character_alone_and_leaves_no_rim() -> None:
    image = Image.new("RGB", (40, 40), (255, 255, 255))
    image.paste((20, 40, 200), (10, 10, 30, 30))
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 10, 30, 30))
    shown = np.asarray(backdrop_version(image, mask.filter(ImageFilter.BoxBlur(1)), "pink"))
    assert shown[20, 20].tolist() == [20, 40, 200] and shown[2, 2].tolist() == [*BACKDROPS["pink"]]
    lightest = shown[9:31, 9:31].reshape(-1, 3).astype(int).sum(-1).max()
    assert lightest <= sum(BACKDROPS["pink"])  # white would be lighter


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("x, girl, white background, smile", "x, girl, blue background, simple background, smile"),
        ("x, outdoors, sky, girl", "x, blue background, simple background, girl"),
        ("x, girl", "x, girl, blue background, simple background"),
        ("", "blue background, simple background"),
    ],
)
def test_a_caption_names_the_backdrop_and_no_other_place(caption: str, expected: str) -> None:
    assert backdrop_caption(caption, "blue") == expected


def test_half_of_the_samples_of_a_picture_with_a_mask_change_and_the_caption_says_so(
    tmp_path: Path,
) -> None:
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "a.png")
    masked = Picture(
        tmp_path / "a.png",
        "x, white background",
        (64, 64),
        mask=MaskPart(tmp_path / "mask.png", (0, 0, 64, 64)),
    )
    options = settings(background_aug=True)
    versions = versions_of(options)
    assert len(list(versions.of(masked).all())) == 1 + len(BACKDROPS)
    assert len(list(versions.of(replace(masked, mask=None)).all())) == 1
    assert list(versions_of(settings()).of(masked).all()) == [PLAIN]
    samples = [Sample(masked, number) for number in range(200)]
    captions, _ = captions_of(options, samples, 1000)
    assert 0.35 < sum("blue" in c or "pink" in c or "grey" in c for c in captions) / 100 < 0.7
    model = TinyModel()
    cache = LatentCache()
    cache.fill(model, [masked], versions, lambda done, total: None)
    assert make_batch(options, cache, samples[:20], 1000).captions == captions[:20]
