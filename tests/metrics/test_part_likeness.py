"""Likeness of a redrawn part: colours at their places, and the interval of several seeds."""

import pytest
from PIL import Image

from lib_singlelora.metrics.part_likeness import mean_of, near_likeness, part_likeness

SIZE = (128, 96)


def halves(left: str, right: str) -> Image.Image:
    image = Image.new("RGB", SIZE, right)
    image.paste(left, (0, 0, 64, 96))
    return image


def everything() -> Image.Image:
    return Image.new("L", SIZE, 255)


def test_the_same_is_1_and_other_colours_are_near_0() -> None:
    original = halves("red", "blue")
    assert part_likeness(original, original, everything()) == pytest.approx(1)
    assert part_likeness(halves("blue", "red"), original, everything()) < 0.01


def test_only_the_masked_part_counts() -> None:
    mask = Image.new("L", SIZE)
    mask.paste(255, (0, 0, 64, 96))
    original = halves("red", "blue")
    assert part_likeness(halves("red", "white"), original, mask) == pytest.approx(1)
    assert part_likeness(halves("white", "blue"), original, mask) < 0.01


def test_a_nearer_shade_is_more_alike() -> None:
    original = halves("#2040a0", "white")
    near, far = (
        part_likeness(halves(shade, "white"), original, everything())
        for shade in ("#2848b0", "#6080d0")
    )
    assert 0.9 < near < 1 and 0.5 < far < near


def test_the_interval_is_that_of_student() -> None:
    """Four values with a deviation of 1 and three degrees of freedom: 3.18 / √4."""
    mean = mean_of([0.0, 0.0, 3**0.5, 3**0.5])
    assert mean.value == pytest.approx(3**0.5 / 2)
    assert mean.margin == pytest.approx(3.18 / 2, abs=1e-6)
    assert mean_of([0.5]).margin is None


def stripes(*tops: int) -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    for top in tops:
        image.paste("green", (0, top, 128, top + 8))
    return image


def test_a_stripe_beside_its_place_is_nearer_than_none() -> None:
    original = stripes(24, 56)
    shifted, none = stripes(32, 64), stripes()
    assert part_likeness(shifted, original, everything()) < part_likeness(
        none, original, everything()
    )
    near = [near_likeness(each, original, everything()) for each in (original, shifted, none)]
    assert near[0] == pytest.approx(1) and near[0] >= near[1] > near[2] + 0.05


def test_stripes_that_were_not_there_count_too() -> None:
    plain = stripes()
    assert near_likeness(stripes(24, 56), plain, everything()) < 0.95
