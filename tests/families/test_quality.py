"""Quality tags by a checkpoint's name, and where they stand in a prompt."""

from __future__ import annotations

import pytest

from lib_singlelora.families.quality import (
    QualityTags,
    choose_quality,
    quality_names,
    quality_presets,
)
from lib_singlelora.settings.schema import Settings


@pytest.mark.parametrize(
    ("name", "prediction", "found"),
    [
        ("Illustrious-XL-v1.0", "epsilon", "illustrious"),
        ("waiNSFWIllustrious_v140", "epsilon", "illustrious"),
        ("noobaiXLNAIXL_epsilonPred11Version", "epsilon", "noobai"),
        ("NoobAI-XL-Vpred-v1.0", "v_prediction", "noobai-v"),
        ("ponyDiffusionV6XL_v6StartWithThisOne", "epsilon", "pony"),
        ("autismmixSDXL_autismmixPony", "epsilon", "pony"),
        ("animagine-xl-4.0-opt", "epsilon", "animagine"),
        ("sd_xl_base_1.0", "epsilon", ""),
    ],
)
def test_a_checkpoints_name_chooses(name: str, prediction: str, found: str) -> None:
    assert choose_quality("auto", "", "", name, "sdxl", prediction).name == found  # type: ignore[arg-type]


def test_another_familys_checkpoint_of_such_a_name_gets_none() -> None:
    assert not choose_quality("auto", "", "", "pony illustrious", "sd1")


def test_a_preset_may_be_set_for_any_checkpoint_and_its_tags_replaced() -> None:
    tags = choose_quality("pony", "score_9", "", "anything", "sd1")
    assert (tags.positive, tags.negative, tags.place) == ("score_9", "", "start")
    assert not choose_quality("none", "", "", "pony", "sdxl")
    assert choose_quality("auto", "my tag", "", "unknown", "sdxl").positive == "my tag"


def test_tags_stand_where_the_checkpoint_was_trained_to_see_them() -> None:
    start = QualityTags("n", "score_9, score_8_up", "bad")
    assert start.in_prompt("1girl, solo") == "score_9, score_8_up, 1girl, solo"
    end = QualityTags("n", "masterpiece", "", "end")
    assert end.in_prompt("1girl, solo, ") == "1girl, solo, masterpiece"
    assert start.in_negative("") == "bad"
    assert QualityTags("n", "a").in_negative("text") == "text"


def test_a_tag_that_is_there_already_is_not_said_twice() -> None:
    tags = QualityTags("n", "masterpiece, best quality", "lowres, old")
    assert tags.in_prompt("(Best_Quality:1.2), 1girl") == "masterpiece, (Best_Quality:1.2), 1girl"
    assert tags.in_negative("text, lowres") == "old, text, lowres"


def test_every_preset_names_its_source_and_can_be_set() -> None:
    for preset in quality_presets():
        assert preset.source and preset.names and preset.place in ("start", "end")
        assert Settings.from_dict({"quality.tags": preset.name}).quality.tags in quality_names()
