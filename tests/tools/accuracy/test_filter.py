"""The filter's benchmark: what it plants, and that it counts."""

from __future__ import annotations

import pytest

pytest.importorskip("skia")
pytest.importorskip("onnxruntime")

from lib_singlelora.embedded.paths import TAGGER
from lib_singlelora.metrics.rejection import Subject
from lib_singlelora.tagging.wd import WdTagger
from tools.accuracy.filter import (
    CHARACTERS,
    GOAL_KEPT,
    GOAL_REMOVED,
    lookalikes,
    measure,
    others,
    picture,
    subject_of,
)


def test_lookalikes_are_one_character_in_many_scenes_and_the_others_are_many() -> None:
    scenes = lookalikes(CHARACTERS["isabella"], 12)
    assert {scene.characters for scene in scenes} == {(CHARACTERS["isabella"],)}
    assert len({(scene.pose, scene.framing, scene.background) for scene in scenes}) > 8
    assert len({scene.characters for scene in others(12)}) == 12


def test_the_filter_reaches_the_goal_on_isabella_and_misses_it_without_knowing_her() -> None:
    tagger = WdTagger(TAGGER)
    planted, rest = (
        [picture(scene) for scene in scenes]
        for scenes in (lookalikes(CHARACTERS["isabella"], 20), others(20))
    )
    row = measure(subject_of(CHARACTERS["isabella"], tagger), planted, rest, tagger).row()
    assert row["removed"] >= GOAL_REMOVED and row["kept"] >= GOAL_KEPT
    assert measure(Subject(), planted, rest, tagger).row() == {
        "planted": 20,
        "removed": 0.0,
        "others": 20,
        "kept": 1.0,
    }
