"""The place-by-place measure: 1 for the same figure wherever it stands, less for another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skia")

from tools.lab.likeness import Fields, fields_of, figure_of, likeness, placewise
from tools.world.scenes.characters import ISABELLA, all_characters
from tools.world.scenes.scene import Drawing, render
from tools.world.scenes.spec import Character, Scene

REFERENCE = 384


def drawing(who: Character, background: str = "white", size: int = REFERENCE) -> Drawing:
    return render(Scene((who,), background=background, seed=1), size)


def picture(who: Character, background: str = "white", size: int = REFERENCE) -> Image.Image:
    return Image.fromarray(drawing(who, background, size).pixels)


def found(image: Image.Image) -> Fields:
    fields = fields_of(image)
    assert fields is not None
    return fields


@pytest.fixture(scope="module")
def isabella() -> Image.Image:
    return picture(ISABELLA)


def test_a_picture_is_like_itself(isabella: Image.Image) -> None:
    assert placewise(isabella, isabella) == 1.0
    mask = Image.fromarray(drawing(ISABELLA).mask)
    assert placewise(isabella, isabella, mask) > 0.97


def test_size_and_place_do_not_count(isabella: Image.Image) -> None:
    moved = Image.new("RGB", (640, 512), "white")
    moved.paste(isabella.resize((256, 256), Image.Resampling.BOX), (350, 200))
    assert placewise(moved, isabella) > 0.93


def test_the_size_of_generated_pictures_suffices(isabella: Image.Image) -> None:
    assert placewise(picture(ISABELLA, size=128), isabella) > 0.88


@pytest.mark.parametrize("background", ["blue", "pink", "indoors", "outdoors"])
def test_the_background_does_not_count(isabella: Image.Image, background: str) -> None:
    assert placewise(picture(ISABELLA, background, 128), isabella) > 0.8


def test_another_hair_colour_lowers_it_and_lowers_nothing_else(isabella: Image.Image) -> None:
    blue = replace(ISABELLA, hair=replace(ISABELLA.hair, colour="blue"))
    wanted = found(isabella)
    drawn = found(picture(blue))
    assert 0.5 < likeness(drawn, wanted) < 0.95
    apart = np.linalg.norm(drawn.colours - wanted.colours, axis=-1)
    apart = apart[(drawn.shares > 0) & (wanted.shares > 0)]
    assert (apart > 30).any() and np.median(apart) < 2


def test_each_character_is_most_like_itself() -> None:
    fields = {name: found(picture(who)) for name, who in all_characters().items()}
    for name, who in all_characters().items():
        drawn = found(picture(who, "grey", 128))
        own = likeness(drawn, fields[name])
        others = [likeness(drawn, other) for key, other in fields.items() if key != name]
        assert own > 0.88 and max(others) < 0.7, (name, own, max(others))


def test_without_a_figure_it_is_0(isabella: Image.Image) -> None:
    for empty in (Image.new("RGB", (128, 128), "white"), Image.new("RGB", (128, 128), "navy")):
        assert figure_of(empty) is None
        assert placewise(empty, isabella) == 0.0
    assert placewise(isabella, isabella, Image.new("L", isabella.size, 0)) == 0.0


def test_a_field_with_nothing_drawn_counts_0(isabella: Image.Image) -> None:
    mask = np.asarray(drawing(ISABELLA).mask)
    torn = Image.fromarray(np.where(mask[..., None], np.asarray(isabella), 255))
    wanted = found(isabella)
    drawn = found(torn)
    emptied = replace(drawn, shares=drawn.shares * (np.arange(8) < 4)[:, None])
    lost = wanted.shares[4:].sum() / wanted.shares.sum()
    assert likeness(emptied, wanted) == pytest.approx(likeness(drawn, wanted) - lost, abs=0.05)


def test_a_mask_of_another_size_is_refused(isabella: Image.Image) -> None:
    with pytest.raises(ValueError, match="one size"):
        placewise(isabella, isabella, Image.new("L", (10, 10), 255))
