"""Colour augmentation keeps the picture's size and shifts its colours a little."""

import random

import numpy as np
from PIL import Image

from lib_singlelora.training.augment import MAX_GAMMA_SHIFT, color_version


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
