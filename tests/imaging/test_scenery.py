"""Figures before scenery, drawn here in plain shapes: the mask is theirs, and how sure it is, is
said.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.views import propose_views
from lib_singlelora.imaging.background import foreground_mask

SIZE = (400, 600)
FIGURES = {
    "white hair, black clothes": ((230, 230, 235), (30, 30, 36), (120, 60, 160), None),
    "brown hair, red dress": ((90, 50, 30), (160, 30, 40), (40, 40, 120), None),
    "blonde, blue shirt, outlined": ((230, 200, 110), (60, 90, 200), (200, 60, 60), (30, 20, 30)),
    "blue hair, white shirt": ((60, 90, 190), (250, 250, 250), (60, 60, 70), None),
    "pink hair, black clothes, outlined": (
        (240, 150, 190),
        (30, 30, 36),
        (120, 60, 160),
        (40, 30, 30),
    ),
}


def figure(looks: tuple[object, ...]) -> Image.Image:
    """Head, hair, eyes, torso, arms, skirt, legs on a transparent layer."""
    hair, top, skirt, ink = looks
    layer = Image.new("RGBA", SIZE)
    draw = ImageDraw.Draw(layer)
    line = {"outline": ink, "width": 3} if ink else {}
    skin = (250, 220, 198)
    draw.ellipse((145, 50, 255, 165), fill=hair, **line)
    draw.rectangle((188, 150, 212, 190), fill=skin)
    draw.ellipse((158, 78, 242, 170), fill=skin, **line)
    for x in (182, 218):
        draw.ellipse((x - 8, 112, x + 8, 128), fill=(20, 60, 160))
    draw.arc((185, 132, 215, 152), 20, 160, fill=(150, 40, 50), width=3)
    for left, right in ((126, 148), (252, 274)):
        draw.rectangle((left, 195, right, 330), fill=skin, **line)
    draw.polygon([(145, 185), (255, 185), (238, 330), (162, 330)], fill=top, **line)
    draw.polygon([(160, 325), (240, 325), (275, 430), (125, 430)], fill=skirt, **line)
    for left, right in ((165, 190), (210, 235)):
        draw.rectangle((left, 428, right, 560), fill=skin, **line)
    return layer


def meadow() -> Image.Image:
    image = Image.new("RGB", SIZE, (140, 200, 245))
    draw = ImageDraw.Draw(image)
    for x, y in ((70, 70), (330, 110), (260, 40)):
        draw.ellipse((x - 50, y - 20, x + 50, y + 20), fill="white")
    draw.rectangle((0, 420, 400, 600), fill=(110, 180, 90))
    draw.rectangle((330, 300, 350, 440), fill=(120, 80, 50))
    draw.ellipse((290, 210, 390, 320), fill=(50, 120, 60))
    return image


def room() -> Image.Image:
    image = Image.new("RGB", SIZE, (225, 215, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 470, 400, 600), fill=(150, 110, 80))
    draw.rectangle((20, 80, 100, 220), fill=(190, 225, 250), outline="white", width=6)
    return image


def beach() -> Image.Image:
    image = Image.new("RGB", SIZE, (170, 215, 250))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 280, 400, 440), fill=(50, 120, 190))
    draw.rectangle((0, 440, 400, 600), fill=(235, 205, 140))
    draw.ellipse((320, 30, 380, 90), fill=(255, 230, 120))
    return image


def path() -> Image.Image:
    image = meadow()
    ImageDraw.Draw(image).polygon(
        [(170, 420), (230, 420), (350, 600), (50, 600)], fill=(210, 180, 140)
    )
    return image


def composed(looks: str, back: Image.Image) -> tuple[Image.Image, np.ndarray]:
    layer = figure(FIGURES[looks])
    small = SIZE[0] // 2, SIZE[1] // 2
    image = Image.alpha_composite(back.convert("RGBA"), layer).resize(small, Image.Resampling.BOX)
    return image.convert("RGB"), np.asarray(layer.resize(small, Image.Resampling.BOX))[..., 3] > 127


def iou(mask: Image.Image, truth: np.ndarray) -> float:
    found = np.asarray(mask) > 127
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize(
    ("looks", "scenery"),
    [
        ("brown hair, red dress", meadow),
        ("blonde, blue shirt, outlined", room),
        ("blue hair, white shirt", beach),
        ("pink hair, black clothes, outlined", meadow),
        ("blue hair, white shirt", meadow),
        ("blonde, blue shirt, outlined", path),
        ("brown hair, red dress", path),
    ],
)
def test_the_mask_is_the_figure_without_the_scenery(looks: str, scenery: object) -> None:
    image, truth = composed(looks, scenery())
    assert iou(foreground_mask(image).mask, truth) > 0.9


@pytest.mark.parametrize("looks", ["brown hair, red dress", "white hair, black clothes"])
@pytest.mark.parametrize(
    "cloud",
    [(215, 60, 345, 110), (140, 8, 260, 44), (60, 40, 340, 130)],
    ids=["beside the head", "above the head", "wide behind the head"],
)
def test_a_lonely_cloud_at_the_head_is_no_hat(looks: str, cloud: tuple[int, int, int, int]) -> None:
    sky = Image.new("RGB", SIZE, (140, 200, 245))
    ImageDraw.Draw(sky).ellipse(cloud, fill="white")
    image, truth = composed(looks, sky)
    white = (np.asarray(sky.resize(image.size, Image.Resampling.BOX)) > 250).all(axis=2) & ~truth
    mask = foreground_mask(image, method="scenery").mask
    assert (np.asarray(mask) > 127)[white].mean() < 0.1
    assert iou(mask, truth) > 0.93


@pytest.mark.parametrize("scenery", [meadow, path])
def test_views_of_a_whole_figure_before_a_meadow_are_proposed(scenery: object) -> None:
    image, _ = composed("brown hair, red dress", scenery())
    views = {
        view.name: view.box
        for view in propose_views(foreground_mask(image).mask, make_buckets(512), image)
    }
    assert {"full_body", "upper_body", "lower_body", "portrait", "face"} <= views.keys()
    assert views["full_body"][1] <= 25 and views["full_body"][3] >= 277
    assert views["upper_body"][1] <= 25 and 125 < views["upper_body"][3] < 200


def test_a_figure_of_the_scenery_s_own_colours_is_unsure_and_that_is_told() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8))
    found = foreground_mask(image)
    assert not found.sure and found.notes[0].startswith("warning: the mask is unsure")


def test_a_flat_background_is_sure() -> None:
    image, truth = composed("brown hair, red dress", Image.new("RGB", SIZE, "white"))
    found = foreground_mask(image)
    assert (found.method, found.sure) == ("flat background", True) and iou(found.mask, truth) > 0.94


def test_two_figures_are_told_and_one_is_taken() -> None:
    wide = Image.new("RGB", (800, 600), (200, 220, 240))
    for x in (0, 400):
        wide.paste(
            figure(FIGURES["brown hair, red dress"]).convert("RGB"),
            (x, 0),
            figure(FIGURES["brown hair, red dress"]),
        )
    found = foreground_mask(wide)
    assert "2 figures stand apart" in found.notes[0]
    solid = np.asarray(found.mask) > 127
    assert solid[:, :400].any() != solid[:, 400:].any()
