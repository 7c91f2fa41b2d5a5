"""Whose training preset a workspace has: the user's, the checkpoint's, or that of an old file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.host import AskedPreset
from lib_singlelora.settings.preset_files import save_preset
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.preset_origin import PresetOrigin
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.training_preset import (
    change_by_form,
    current,
    set_by_hand,
    settle,
    settle_for_job,
)
from lib_singlelora.workspace.workspace import Workspace

EMBEDDED = AskedPreset("embedded", "singlelora")
FULL = AskedPreset("recommended", "v1-5")
NONE = AskedPreset()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "elsa")
    given(made, NONE, {"character.trigger": "elsa"})
    return made


def given(workspace: Workspace, asked: AskedPreset, values: dict[str, Any]) -> Settings:
    """Settings that the user gives while this checkpoint is loaded."""
    return settle(workspace, asked, lambda saved, origin: set_by_hand(saved, origin, values))[0]


def filled(workspace: Workspace, asked: AskedPreset, form: Settings, named: bool) -> Settings:
    """A form that the user sends off while this checkpoint is loaded."""
    values = {name: form.get(name) for name in ("training.preset", "training.rank", "plot.steps")}
    return settle(
        workspace, asked, lambda saved, origin: change_by_form(saved, origin, values, named)
    )[0]


def begin_training(workspace: Workspace) -> None:
    workspace.save_record(StageRecord("train", "begun"))


def test_a_preset_that_nobody_named_is_the_loaded_checkpoints_and_follows_it(
    workspace: Workspace,
) -> None:
    assert current(workspace, NONE)[1].whose == "nobody"
    settings, choice = settle_for_job(workspace, EMBEDDED)
    assert settings == Settings.from_dict(
        {"training.preset": "embedded", "character.trigger": "elsa"}
    )
    assert (choice.whose, choice.note) == ("checkpoint", "")
    assert str(choice) == (
        "embedded, because the loaded checkpoint 'singlelora' asks for it (its metadata)"
    )
    assert current(workspace, NONE)[0].training.preset == "embedded"  # none loaded changes nothing
    assert settle_for_job(workspace, FULL)[0].training.preset == "recommended"
    assert workspace.load_settings().training.preset == "recommended"
    events = (workspace.root / "log" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in events] == ["embedded", "recommended"]


def test_the_settings_file_says_whose_it_is_and_why(workspace: Workspace) -> None:
    settle_for_job(workspace, EMBEDDED)
    kept = json.loads(workspace.settings_file.read_text(encoding="utf-8"))["preset"]
    assert kept["whose"] == "checkpoint" and kept["checkpoint"] == "singlelora"
    assert "asks for it" in kept["why"]


def test_a_preset_that_the_user_named_stays_with_a_word_on_the_checkpoint(
    workspace: Workspace,
) -> None:
    given(workspace, NONE, {"training.preset": "recommended"})
    settings, choice = settle_for_job(workspace, EMBEDDED)
    assert (settings.training.preset, choice.whose) == ("recommended", "user")
    assert choice.note == "The loaded checkpoint 'singlelora' asks for 'embedded'"
    assert current(workspace, FULL)[1].note == ""


@pytest.mark.parametrize("rank", [5, 16])  # 16 is the value of the preset before
def test_what_was_set_by_hand_wins_over_the_next_preset(workspace: Workspace, rank: int) -> None:
    given(workspace, FULL, {"training.rank": rank})
    settings, _ = settle_for_job(workspace, EMBEDDED)
    assert (settings.training.preset, settings.training.rank) == ("embedded", rank)
    assert settings.training.unet_lr == 0.004
    named = given(workspace, EMBEDDED, {"training.preset": "article"})
    assert (named.training.preset, named.training.rank) == ("article", rank)


def test_once_training_has_begun_the_preset_stays_unless_the_user_names_one(
    workspace: Workspace,
) -> None:
    settle_for_job(workspace, EMBEDDED)
    begin_training(workspace)
    settings, choice = settle_for_job(workspace, FULL)
    assert settings.training.preset == "embedded"
    assert "'singlelora' asked for it when training began" in choice.why
    assert "changed since: 'v1-5' asks for 'recommended'" in choice.note
    assert current(workspace, EMBEDDED)[1].note == ""
    assert given(workspace, FULL, {"training.preset": "quick"}).training.preset == "quick"


def test_a_training_that_goes_on_from_a_lora_has_begun(workspace: Workspace) -> None:
    given(workspace, EMBEDDED, {"training.start_from": "lineage/start.safetensors"})
    assert settle_for_job(workspace, FULL)[0].training.preset == "recommended"
    assert settle_for_job(workspace, EMBEDDED)[0].training.preset == "recommended"


def test_a_form_that_was_built_before_the_checkpoint_names_no_preset(workspace: Workspace) -> None:
    form = Settings.from_dict({"training.rank": 7})  # of recommended, changed by hand
    settings = filled(workspace, EMBEDDED, form, named=False)
    assert (settings.training.preset, settings.training.rank) == ("embedded", 7)
    assert settings.training.unet_lr == 0.004
    assert filled(workspace, EMBEDDED, form, named=True).training.preset == "recommended"
    assert current(workspace, EMBEDDED)[1].whose == "user"


def test_a_form_of_another_preset_changes_none_of_a_training_that_has_begun(
    workspace: Workspace,
) -> None:
    settle_for_job(workspace, EMBEDDED)
    begin_training(workspace)
    settings = filled(workspace, EMBEDDED, Settings.from_dict({"plot.steps": 9}), named=False)
    assert (settings.training.preset, settings.training.rank) == ("embedded", 32)
    assert settings.plot.steps == 9


def test_a_form_keeps_what_was_set_by_hand_to_the_presets_own_value(workspace: Workspace) -> None:
    given(workspace, FULL, {"training.rank": 16})
    filled(workspace, FULL, workspace.load_settings(), named=False)
    assert settle_for_job(workspace, EMBEDDED)[0].training.rank == 16


def test_files_of_earlier_versions_keep_their_preset_and_one_without_follows(
    workspace: Workspace,
) -> None:
    def written(values: dict[str, Any]) -> None:
        workspace.settings_file.write_text(json.dumps(values), encoding="utf-8")

    written({"version": 1, **Settings.from_dict({"training.preset": "quick"}).to_dict()})
    settings, choice = settle_for_job(workspace, EMBEDDED)
    assert (settings.training.preset, choice.whose) == ("quick", "file")
    assert "'singlelora' asks for 'embedded'" in choice.note
    assert settle_for_job(workspace, EMBEDDED)[1].whose == "file"  # saved in the new form

    written({"training": {"rank": 3}})
    settings, choice = settle_for_job(workspace, EMBEDDED)
    assert (settings.training.preset, settings.training.rank) == ("embedded", 3)


@pytest.mark.parametrize(
    "preset", [7, [], {"whose": "me", "checkpoint": "", "by_hand": []}, {"whose": "user"}]
)
def test_a_damaged_record_is_told(workspace: Workspace, preset: object) -> None:
    workspace.settings_file.write_text(json.dumps({"preset": preset}), encoding="utf-8")
    with pytest.raises(SettingsError, match="preset"):
        workspace.load_settings()


def test_a_setting_that_there_is_no_more_is_not_by_hand(workspace: Workspace) -> None:
    record = {"whose": "user", "checkpoint": "", "by_hand": ["training.gone", "training.rank"]}
    workspace.settings_file.write_text(json.dumps({"preset": record}), encoding="utf-8")
    assert workspace.load_settings_and_origin()[1] == PresetOrigin("user", "", ("training.rank",))


@pytest.mark.parametrize("begun", [False, True])
def test_auto_goes_back_to_the_checkpoints_own_preset(workspace: Workspace, begun: bool) -> None:
    given(workspace, FULL, {"training.preset": "quick", "training.rank": 7})
    if begun:
        begin_training(workspace)
    assert settle_for_job(workspace, EMBEDDED)[1].whose == "user"
    settings = given(workspace, EMBEDDED, {"training.preset": "auto", "plot.steps": 9})
    assert (settings.training.preset, settings.training.rank) == ("embedded", 7)
    assert settings.plot.steps == 9
    assert current(workspace, EMBEDDED)[1].whose == "checkpoint"
    again = settle_for_job(workspace, FULL)[0].training.preset
    assert again == ("embedded" if begun else "recommended")


def test_auto_without_a_checkpoint_waits_for_one(workspace: Workspace) -> None:
    given(workspace, FULL, {"training.preset": "quick"})
    assert given(workspace, NONE, {"training.preset": "auto"}).training.preset == "quick"
    assert current(workspace, EMBEDDED)[0].training.preset == "embedded"


def test_no_own_preset_is_called_auto() -> None:
    with pytest.raises(SettingsError, match="stands for the checkpoint's own"):
        save_preset("auto", {})
