"""Symmetry: of the example characters, whose sides are known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from lib_singlelora.crops.symmetry import CLOTHES, EYES, HAIR, Sides, compare_sides
from lib_singlelora.imaging.background import foreground_mask

EXAMPLES = Path(__file__).parents[2] / "examples"


@cache
def sides(name: str) -> Sides:
    with Image.open(EXAMPLES / f"{name}.png") as image:
        picture = image.convert("RGB")
    return compare_sides(picture, foreground_mask(picture).mask)


@pytest.mark.parametrize("name", ["heldout/mika", "heldout/wren", "heldout/pearl"])
def test_symmetric_characters_may_be_mirrored(name: str) -> None:
    found = sides(name).of()
    assert found.flip and found.score > 0.97 and found.differs == ()
    assert "may be mirrored" in found.sentence


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        # An eyepatch; a ponytail at one side that hangs beside the body
        ("heldout/morgan", (EYES, HAIR, CLOTHES)),
        ("heldout/luna", (HAIR,)),  # hair of two colours
        ("isabella", (HAIR,)),  # a bow at one side of the hat
    ],
)
def test_asymmetric_ones_may_not_and_it_says_why(name: str, differs: tuple[str, ...]) -> None:
    found = sides(name).of()
    assert not found.flip
    assert found.differs == differs
    assert all(part in found.sentence for part in differs)


def test_a_crop_is_judged_by_what_it_shows() -> None:
    morgan = sides("heldout/morgan")
    assert EYES in morgan.of((230, 100, 560, 460)).differs
    trousers = morgan.of((290, 830, 500, 1110))
    assert trousers.flip and trousers.score > 0.97


def test_a_mirrored_picture_is_as_symmetric() -> None:
    with Image.open(EXAMPLES / "heldout" / "luna.png") as image:
        mirrored = image.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = compare_sides(mirrored, foreground_mask(mirrored).mask).of()
    assert abs(found.score - sides("heldout/luna").of().score) < 0.05 and not found.flip


def test_she_need_not_stand_in_the_middle() -> None:
    with Image.open(EXAMPLES / "heldout" / "mika.png") as image:
        moved = ImageChops.offset(image.convert("RGB"), 120, 0)
    assert compare_sides(moved, foreground_mask(moved).mask).of().flip
