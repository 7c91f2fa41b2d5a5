"""The figure's edge before a flat background, against Pillow's filters."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_singlelora.imaging.flat_background import (
    _largest_near,
    background_colour,
    find_flat_background,
)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 3), (2, 30), (40, 33)])
@pytest.mark.parametrize("reach", [1, 2])
def test_the_largest_near_is_that_of_pillow(shape: tuple[int, int], reach: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    filtered = Image.fromarray(values).filter(ImageFilter.MaxFilter(2 * reach + 1))
    assert np.array_equal(_largest_near(values, reach), np.asarray(filtered))


def test_the_colour_alone_is_that_of_the_background() -> None:
    pixels = np.full((60, 40, 3), (200, 220, 240), np.uint8)
    image = Image.fromarray(pixels)
    assert background_colour(image) is None  # no figure
    pixels[20:50, 10:30] = 20
    image = Image.fromarray(pixels)
    found = find_flat_background(image)
    assert found and found.colour == background_colour(image) == (200, 220, 240)
