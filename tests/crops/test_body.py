"""Which parts of the body a crop shows, and whether the background has one colour."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.crops.body import background_colour, body_parts, colour_names, shown_parts
from lib_singlelora.crops.views import Figure, figure_in, measure

SIZE = (400, 800)


def standing() -> tuple[Image.Image, Image.Image]:
    """(picture, mask) of a figure with a head of 100 pixels, 650 tall, before white."""
    mask = Image.new("L", SIZE)
    pen = ImageDraw.Draw(mask)
    pen.ellipse((150, 50, 250, 150), fill=255)  # head
    pen.rectangle((185, 140, 215, 170), fill=255)  # neck
    pen.rectangle((120, 170, 280, 420), fill=255)  # shoulders to hips
    pen.rectangle((140, 420, 190, 700), fill=255)
    pen.rectangle((210, 420, 260, 700), fill=255)
    image = Image.new("RGB", SIZE, "white")
    image.paste("navy", mask=mask)
    return image, mask


@pytest.fixture
def figure() -> Figure:
    return measure(standing()[1], (165, 90, 235, 150))


def shares(box: tuple[int, int, int, int], figure: Figure) -> dict[str, float]:
    solid = np.asarray(standing()[1]) > 127
    return shown_parts(box, body_parts(figure), solid)


def test_the_whole_picture_shows_every_part(figure: Figure) -> None:
    found = shares((0, 0, *SIZE), figure)
    assert min(share for part, share in found.items() if part != "background") > 0.9
    assert 0.5 < found["background"] < 0.9


def test_a_crop_of_the_face_shows_nothing_below_the_chin(figure: Figure) -> None:
    found = shares((150, 50, 250, 155), figure)
    assert found["eyes"] == 1 and found["mouth"] > 0.9
    assert {found[part] for part in ("hips", "legs", "feet")} == {0}


def test_a_crop_of_the_shoes_shows_nothing_above_the_hips(figure: Figure) -> None:
    found = shares((100, 600, 300, 710), figure)
    assert found["feet"] > 0.8 and found["legs"] > 0.2
    assert {found[part] for part in ("head", "face", "eyes", "mouth", "torso")} == {0}


def test_beside_the_head_is_no_face(figure: Figure) -> None:
    assert shares((270, 50, 400, 150), figure)["eyes"] == 0


def test_within_the_clothes_there_is_no_background(figure: Figure) -> None:
    assert shares((130, 200, 270, 400), figure)["background"] == 0


def test_of_a_figure_cut_by_the_picture_the_lowest_part_may_be_its_feet() -> None:
    _, mask = standing()
    upper = mask.crop((0, 0, 400, 420))
    figure = measure(upper, (165, 90, 235, 150))
    found = shown_parts((100, 300, 300, 420), body_parts(figure), np.asarray(upper) > 127)
    assert found["feet"] > 0.9


def test_a_figure_that_lies_has_no_parts() -> None:
    _, mask = standing()
    assert body_parts(figure_in(mask.rotate(90, expand=True))) == {}


def test_a_background_of_one_colour_is_told_from_a_lively_one() -> None:
    image, mask = standing()
    assert background_colour(image, mask) == (255, 255, 255)
    ImageDraw.Draw(image).rectangle((0, 500, 60, 800), fill="green")
    assert background_colour(image, mask) is None


def test_a_picture_without_background_has_no_colour_of_it() -> None:
    image, _ = standing()
    assert background_colour(image, Image.new("L", SIZE, 255)) is None


@pytest.mark.parametrize(
    ("colour", "names"),
    [
        ((255, 255, 255), {"white"}),
        ((8, 8, 10), {"black"}),
        ((128, 130, 128), {"grey"}),
        ((228, 228, 228), {"white", "grey"}),
        ((200, 220, 255), {"blue"}),
        ((246, 230, 184), {"yellow", "orange", "beige"}),
        ((120, 70, 40), {"orange", "brown"}),
        ((255, 190, 210), {"pink", "red"}),
        ((30, 140, 60), {"green"}),
    ],
)
def test_a_colour_has_every_name_that_fits_it(
    colour: tuple[int, int, int], names: set[str]
) -> None:
    assert names <= colour_names(colour) <= {*names, "red", "purple", "grey"}
