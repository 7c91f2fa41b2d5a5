"""The verdict on candidates of a judged loopback, and which of those that pass are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.judge.candidates import CandidateJudge, Verdict, choose_kept
from lib_singlelora.metrics.loopback_prompts import Wish
from lib_singlelora.settings.schema import Settings
from lib_singlelora.tagging.ensemble import Taggers
from lib_singlelora.tagging.wd import TagScores
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace

OWN = {"red hair": 0.9, "blue eyes": 0.9, "white hat": 0.8, "solo": 0.9}
SIDE = Wish("txt2img", "view", "from side", "full body", "outdoors")


class _ByColour:
    """A tagger that knows the tags of a picture by its middle's colour."""

    folders = ()
    own = ()

    def __init__(self, tags: Mapping[str, Mapping[str, float]]) -> None:
        self._tags = tags

    def tag(self, images: Sequence[Image.Image]) -> list[TagScores]:
        found = []
        for image in images:
            middle = image.convert("RGB").resize((3, 3), Image.Resampling.BOX).getpixel((1, 1))
            assert isinstance(middle, tuple)
            name = max("rgb", key=lambda letter: middle["rgb".index(letter)])
            found.append(TagScores(dict(self._tags[name]), {}, {}))
        return found


def figure(colour: tuple[int, int, int], shift: int = 0) -> Image.Image:
    """A figure of one colour with darker stripes on white."""
    pixels = np.full((96, 96, 3), 255, np.uint8)
    pixels[8:92, 24 + shift : 72 + shift] = colour
    pixels[8:92:12, 24 + shift : 72 + shift] = np.asarray(colour) // 2
    return Image.fromarray(pixels)


RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (30, 40, 220)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "isabella")
    settings = Settings.from_dict({"character.trigger": "isabella"})
    made.save_settings(settings)
    folder = made.image_folder(settings)
    folder.mkdir(parents=True)
    figure(RED).save(folder / "full_body.png")
    views = {"full_body": {"box": [0, 0, 96, 96], "tags": ["full body"]}}
    made.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    return made


def verdict(
    workspace: Workspace, image: Image.Image, tags: Mapping[str, float], wish: Wish = SIDE
) -> Verdict:
    """Of a green picture with these tags; the crop is red, the checkpoint's picture blue."""
    tagger = _ByColour({"r": OWN, "g": tags, "b": {"1girl": 0.9, "blue eyes": 0.9}})
    settings = workspace.load_settings()
    judge = CandidateJudge(settings, workspace, cast(Taggers, tagger), None, 96)
    return judge.judge(image, wish, figure(BLUE), settings.loopback)


def kinds(found: Verdict) -> list[str]:
    return [reason.split(":")[0] for reason in found.reasons]


def test_a_picture_with_the_traits_and_colours_and_what_was_asked_passes(
    workspace: Workspace,
) -> None:
    tags = {**OWN, "1girl": 0.9, "from side": 0.8, "outdoors": 0.2}
    tagger = _ByColour({"r": {**OWN, **tags}, "b": {"1girl": 0.9}})
    settings = workspace.load_settings().with_values({"loopback.copying": 1})
    judge = CandidateJudge(settings, workspace, cast(Taggers, tagger), None, 96)
    found = judge.judge(figure(RED, 12), SIDE, figure(BLUE), settings.loopback)
    assert found.reasons == () and found.seen == ("from side",)
    assert found.scores["retention"] > 0.8 and found.scores["colours"] > 0.9


def test_it_is_told_what_is_wrong(workspace: Workspace) -> None:
    found = verdict(
        workspace, figure(GREEN, 8), {"green hair": 0.9, "green eyes": 0.9, "1girl": 0.9}
    )
    assert kinds(found) == [
        "not the character",
        "other colours",
        "not the character",
        "not as asked",
    ]
    assert "green hair" in found.reasons[2] and "from side" in found.reasons[3]


def test_eyes_that_only_a_closer_look_sees_are_eyes(workspace: Workspace) -> None:
    without = {"1girl": 0.9, "from side": 0.9}
    assert "damaged" in kinds(verdict(workspace, figure(GREEN, 8), without))
    with_a_head = figure(GREEN)
    with_a_head.paste(RED, (24, 8, 72, 40))
    assert "damaged" not in kinds(verdict(workspace, with_a_head, without))


def test_a_copy_of_a_crop_is_no_new_picture(workspace: Workspace) -> None:
    tagger = _ByColour({"r": {**OWN, "1girl": 0.9, "from side": 0.9}, "b": {"1girl": 0.9}})
    settings = workspace.load_settings()
    judge = CandidateJudge(settings, workspace, cast(Taggers, tagger), None, 96)
    found = judge.judge(figure(RED), SIDE, figure(BLUE), settings.loopback)
    assert kinds(found) == ["a copy of full_body"]


def test_traits_that_the_view_hides_are_not_asked_for(workspace: Workspace) -> None:
    behind = Wish("txt2img", "view", "from behind", "full body")
    tags = {"red hair": 0.9, "white hat": 0.9, "1girl": 0.9, "from behind": 0.9}
    found = verdict(workspace, figure(GREEN), tags, behind)
    assert found.scores["retention"] == pytest.approx(0.9)  # without the blue eyes


def test_nobody_in_the_picture_is_damage(workspace: Workspace) -> None:
    found = verdict(workspace, figure(GREEN), {"no humans": 0.9})
    assert found.reasons[0].startswith("damaged: ") and found.scores["damage"] == 1


def test_a_picture_of_one_colour_is_damaged(workspace: Workspace) -> None:
    found = verdict(workspace, Image.new("RGB", (96, 96), (128, 129, 128)), OWN)
    assert found.reasons[0] == "damaged: blank"


def passing(value: float) -> Verdict:
    return Verdict((), (), {}, {"colours": value, "damage": 0.0})


def test_of_each_ask_the_best_is_kept_first() -> None:
    asks = {1: "sitting", 2: "sitting", 3: "from side", 4: "outdoors"}
    values = {1: 0.9, 2: 0.8, 3: 0.6, 4: 0.5}
    verdicts = {
        number: (Wish("txt2img", "pose", ask, "full body"), passing(values[number]))
        for number, ask in asks.items()
    }
    noise = np.random.default_rng(1)
    images = {n: Image.fromarray(noise.integers(0, 255, (64, 64, 3), np.uint8)) for n in asks}
    kept, others = choose_kept(verdicts, images, 3)
    assert kept == [1, 3, 4] and others.keys() == {2} and "enough" in others[2]


def test_of_two_that_are_nearly_the_same_one_is_kept() -> None:
    verdicts = {n: (SIDE, passing(0.5 + n / 10)) for n in (1, 2)}
    kept, others = choose_kept(verdicts, {1: figure(RED), 2: figure(RED)}, 8)
    assert kept == [2] and "the same as candidate 2" in others[1]
