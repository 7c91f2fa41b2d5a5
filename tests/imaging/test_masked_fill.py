"""A masked place filled with the colours around it."""

import numpy as np
from PIL import Image

from lib_singlelora.imaging.masked_fill import surroundings


def test_the_hole_takes_the_colours_beside_it_and_nothing_else_changes() -> None:
    picture = Image.new("RGB", (96, 64), "red")
    picture.paste("blue", (48, 0, 96, 64))
    hole = Image.new("L", picture.size)
    hole.paste(255, (30, 20, 66, 44))
    picture.paste("lime", (32, 22, 64, 42))  # what is to go
    out = np.asarray(surroundings(picture, hole), dtype=int)
    outside = np.asarray(hole) == 0
    assert np.array_equal(out[outside], np.asarray(picture)[outside])
    assert out[..., 1].max() < 30  # no green is left
    assert (out[32, 33] - out[32, 62])[0] > 60 and (out[32, 62] - out[32, 33])[2] > 60


def test_a_picture_that_is_all_hole_gives_no_error() -> None:
    assert surroundings(Image.new("RGB", (16, 16), "red"), Image.new("L", (16, 16), 255)).size == (
        16,
        16,
    )
