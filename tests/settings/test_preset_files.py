"""Preset files: values with their reasons."""

import json
from pathlib import Path

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.settings import preset_files
from lib_singlelora.settings.preset_files import Preset, read_preset, shipped_presets
from lib_singlelora.settings.schema import Settings, flatten, preset_values


@pytest.mark.parametrize("preset", shipped_presets(), ids=lambda preset: preset.name)
def test_every_value_of_a_shipped_preset_has_its_reason_and_every_reason_a_value(
    preset: Preset,
) -> None:
    assert set(preset.why) == set(flatten(preset.values))
    assert preset.about.endswith(".")
    assert all(reason.endswith(".") for reason in preset.why.values())


def test_reasons_are_no_settings() -> None:
    assert preset_values("quick") == {
        "training.unet_lr": 0.001,
        "training.text_encoder_lr": 0,
        "training.rank": 8,
        "training.alpha": 8,
        "training.epochs": 4,
        "training.repeats": 5,
        "training.min_snr_gamma": 5,
    }


def test_a_preset_of_the_users_own_needs_no_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path)
    preset_files.save_preset("mine", {"training": {"rank": 24}})
    assert read_preset("mine") == Preset("mine", "", {}, {"training": {"rank": 24}})
    assert Settings.from_dict({"training.preset": "mine"}).training.rank == 24


@pytest.mark.parametrize("content", [[], 3, "text", {"why": 3}, {"why": ["a"]}, None])
def test_a_file_that_is_no_preset_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object
) -> None:
    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine\.json"):
        read_preset("mine")
