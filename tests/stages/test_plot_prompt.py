"""The prompt of a sheet names the clothes that captions name, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_singlelora.settings.preset_files import read_preset
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.plot_prompt import main_prompt, prompts_of
from lib_singlelora.workspace.workspace import Workspace
from tests.workspace.test_outfit import FACE, WHOLE, with_crops

BARE = (*WHOLE[:3], "isa, girl, full body, standing, smile")


def settings(**values: str) -> Settings:
    return Settings.from_dict(
        {"character.trigger": "isa", **{f"plot.{key}": value for key, value in values.items()}}
    )


@pytest.fixture
def dressed(tmp_path: Path) -> Workspace:
    return with_crops(tmp_path / "dressed", FACE, WHOLE)


@pytest.fixture
def bare(tmp_path: Path) -> Workspace:
    return with_crops(tmp_path / "bare", BARE)


def test_the_default_prompt_names_the_clothes_that_captions_name(dressed: Workspace) -> None:
    assert main_prompt(settings(), dressed) == (
        "isa, girl, solo, white hat, blue dress, boots, full body, looking at viewer,"
        " simple background"
    )


def test_where_captions_leave_the_clothes_out_the_prompt_stays_short(bare: Workspace) -> None:
    assert main_prompt(settings(), bare) == (
        "isa, girl, solo, full body, looking at viewer, simple background"
    )


@pytest.mark.parametrize(
    ("prompt", "filled", "empty"),
    [
        (
            "{trigger}, {class}, {outfit}, sitting",
            "isa, girl, white hat, blue dress, boots, sitting",
            "isa, girl, sitting",
        ),
        ("{trigger}, {outfit}", "isa, white hat, blue dress, boots", "isa"),
        ("{trigger} in {outfit}", "isa in white hat, blue dress, boots", "isa in "),
        ("{trigger}, sitting", "isa, sitting", "isa, sitting"),
    ],
)
def test_outfit_stands_for_the_clothes(
    dressed: Workspace, bare: Workspace, prompt: str, filled: str, empty: str
) -> None:
    assert main_prompt(settings(prompt=prompt), dressed) == filled
    assert main_prompt(settings(prompt=prompt), bare) == empty
    assert prompts_of(settings(prompts=f"{prompt} | a"), dressed) == (filled, "a")


def test_the_embedded_presets_prompt_names_them_too(dressed: Workspace) -> None:
    prompt = str(read_preset("embedded").values["plot"]["prompt"])
    assert "white hat, blue dress, boots, full body" in main_prompt(
        settings(prompt=prompt), dressed
    )
