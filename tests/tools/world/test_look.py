"""Other hands: the renderer's own is left alone, and what is told of the others is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip(
    "skia", reason="the drawings need skia-python: pip install 'single-image-lora[world]'"
)

from tools.world.scenes.look import PLAIN, PLAIN_SHARE, Look, sample_look
from tools.world.scenes.palette import LINE
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import Drawing, render
from tools.world.scenes.spec import FRAMINGS, Character, Scene
from tools.world.scenes.tags import caption

STANDING = Scene((Character(),))


def breadth(drawing: Drawing) -> float:
    """The figure's beside its height: its head is the broadest part."""
    rows = np.flatnonzero(drawing.mask.any(axis=1))
    return float(drawing.mask[rows[0] : rows[-1]].sum(axis=1).max() / (rows[-1] - rows[0]))


def test_the_renderer_s_own_hand_draws_the_same_bytes():
    for seed in range(20):
        scene = sample_scene(seed)
        same = replace(PLAIN, seed=seed)
        assert np.array_equal(render(scene).pixels, render(scene, look=same).pixels)


def test_a_seed_has_one_hand_and_seeds_have_many():
    assert sample_look(3) == sample_look(3)
    looks = [sample_look(seed) for seed in range(200)]
    assert sum(look == PLAIN for look in looks) / 200 == pytest.approx(PLAIN_SHARE, abs=0.1)
    assert {tag for look in looks for tag in look.tags()} == {
        "chibi",
        "tall",
        "no lineart",
        "thick outlines",
        "flat color",
        "gradient",
        "watercolor (medium)",
        "dark skin",
    }
    assert PLAIN.tags() == []


@pytest.mark.parametrize("look", [Look(head=1.8, height=0.8), Look(head=0.5, height=1.4)])
def test_the_figure_fills_the_picture_and_its_head_is_in_it(look):
    for pose in ("standing", "sitting"):
        mask = render(replace(STANDING, pose=pose), look=look).mask
        rows = np.flatnonzero(mask.any(axis=1))
        assert rows[0] > 0 and rows[-1] > 115


@pytest.mark.parametrize("look", [Look(head=0.5, height=1.5), Look(head=0.6, height=1.4), PLAIN])
def test_raised_hands_stay_in_the_picture(look):
    for framing in ("full body", "cowboy shot", "upper body"):
        raised = replace(STANDING, pose="arms up", framing=framing)
        assert not render(raised, look=look).mask[0].any()


def test_a_small_figure_has_a_large_head():
    small, own, tall = (
        breadth(render(STANDING, look=look))
        for look in (Look(head=1.8, height=0.8), PLAIN, Look(head=0.5, height=1.4, breadth=0.9))
    )
    assert small > own > tall


def test_without_outlines_hardly_a_pixel_of_the_body_has_their_colour():
    bare = replace(STANDING, framing="head out of frame")
    dark = [
        int((np.abs(render(bare, look=look).pixels.astype(int) - LINE).sum(axis=2) < 40).sum())
        for look in (PLAIN, Look(ink=None))
    ]
    assert dark[0] > 100 and dark[1] < dark[0] / 10


@pytest.mark.parametrize("seed", range(40))
def test_every_hand_draws_every_framing(seed):
    for framing in FRAMINGS:
        drawn = render(sample_scene(seed, framing=framing), look=sample_look(seed))
        assert drawn.pixels.shape == (128, 128, 3)
        assert drawn.pixels.std() > 1


def test_captions_name_the_hand():
    import random

    hand = Look(head=1.5, ink=None).tags()
    told = [caption(STANDING, random.Random(seed), hand=hand) for seed in range(50)]
    assert all("chibi" in one and "no lineart" in one for one in told if one)
    assert any(not one for one in told)
