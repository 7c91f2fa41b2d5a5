"""A plain shape behind the figure is background; robes, capes and hair of one colour are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from lib_singlelora.imaging.background import SURE, foreground_mask

DRAWINGS = Path(__file__).parents[2] / "examples" / "drawings"
SIZE = (384, 576)
Draw = Callable[[ImageDraw.ImageDraw], None]

SHAPES: dict[str, Draw] = {
    "circle": lambda pen: pen.ellipse((31, 81, 353, 403), fill="#f5c542"),
    "panel": lambda pen: pen.rectangle((58, 46, 326, 461), fill="#a9c7e8"),
    "dark panel": lambda pen: pen.rectangle((58, 46, 326, 461), fill="#30343c"),
    "wash": lambda pen: pen.ellipse((31, 58, 353, 432), fill="#f3d3dc"),
}


def drawing(name: str) -> tuple[Image.Image, Image.Image]:
    """(picture, true mask), reduced."""
    with (
        Image.open(DRAWINGS / f"{name}.png") as picture,
        Image.open(DRAWINGS / f"{name}-mask.png") as mask,
    ):
        box = Image.Resampling.BOX
        return picture.convert("RGB").resize(SIZE, box), mask.convert("L").resize(SIZE, box)


def before(shape: Draw, name: str) -> tuple[Image.Image, Image.Image]:
    """(the drawing's figure before a shape on a white page, its mask)."""
    picture, mask = drawing(name)
    page = Image.new("RGB", SIZE, "white")
    shape(ImageDraw.Draw(page))
    page = page.filter(ImageFilter.GaussianBlur(1))
    page.paste(picture, (0, 0), mask)
    return page, mask


def overlap(one: Image.Image, other: Image.Image) -> float:
    """Intersection over union."""
    a, b = (np.asarray(mask) > 127 for mask in (one, other))
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["celeste", "ines"])
def test_a_plain_shape_behind_the_figure_is_background_and_a_look_is_asked_for(
    shape: str, name: str
) -> None:
    picture, truth = before(SHAPES[shape], name)
    found = foreground_mask(picture)
    assert overlap(found.mask, truth) > 0.95
    assert not found.reliable and found.confidence < SURE and found.notes


def test_a_watercolour_wash_on_paper_is_background() -> None:
    picture, truth = drawing("ines")
    assert overlap(foreground_mask(picture).mask, truth) > 0.9


@pytest.mark.parametrize("name", ["mira", "momo"])
def test_a_drawing_on_one_colour_stays_sure(name: str) -> None:
    picture, truth = drawing(name)
    found = foreground_mask(picture)
    assert found.sure and found.reliable and overlap(found.mask, truth) > 0.97


def robed(robe: str, outline: str | None) -> Image.Image:
    """A figure in one colour from the hood to the hem, face and shoes apart."""
    page = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(page)
    pen.rectangle((150, 500, 180, 540), fill="#5a3a22", outline=outline, width=3)
    pen.rectangle((204, 500, 234, 540), fill="#5a3a22", outline=outline, width=3)
    pen.polygon([(192, 150), (70, 510), (314, 510)], fill=robe, outline=outline, width=3)
    pen.ellipse((112, 40, 272, 220), fill=robe, outline=outline, width=3)
    pen.ellipse((142, 76, 242, 200), fill="#ffdcc4", outline=outline, width=3)
    return page


@pytest.mark.parametrize(("robe", "outline"), [("#7a4fb0", None), ("#dfe8f2", "#111111")])
def test_a_robe_of_one_colour_is_the_character(robe: str, outline: str | None) -> None:
    picture = robed(robe, outline)
    found = foreground_mask(picture)
    assert found.sure and found.mask == foreground_mask(picture, method="flat").mask
