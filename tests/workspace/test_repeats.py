"""The number in kohya's folder name and `training.repeats`, and what training leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.stages.train_pictures import collect_pictures, oddities
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.workspace.repeats import adopt_repeats, left_out
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import cropped, quiet_host

SETTINGS = Settings.from_dict(
    {
        "character.trigger": "isabella",
        "character.class_token": "girl",
        "training.repeats": 5,
        "caption.tagger": "none",
    }
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three crops in image/5_isabella, known to the program."""
    made = cropped(tmp_path / "w", SETTINGS)
    run_stage("caption", StageContext(SETTINGS, made, quiet_host(tmp_path)))
    return made


def renamed(workspace: Workspace, name: str) -> Path:
    return workspace.image_folder(SETTINGS).rename(workspace.root / "image" / name)


def test_renaming_the_folder_is_a_wish_for_other_repeats(workspace: Workspace) -> None:
    folder = renamed(workspace, "20_isabella")
    settings, told = adopt_repeats(SETTINGS, workspace)
    assert (settings.training.repeats, workspace.load_settings().training.repeats) == (20, 20)
    assert "20 repeats" in told[0] and workspace.image_folder(settings) == folder
    assert {picture.repeats for picture in collect_pictures(settings, workspace, [(512, 512)])} == {
        20
    }
    assert adopt_repeats(settings, workspace) == (settings, [])


def test_a_changed_setting_renames_the_folder(workspace: Workspace) -> None:
    wanted = SETTINGS.with_values({"training.repeats": 8})
    assert adopt_repeats(wanted, workspace) == (wanted, [])
    assert workspace.image_folder(wanted).name == "8_isabella"
    assert len(list(workspace.image_folder(wanted).glob("*.png"))) == 3


def test_where_both_changed_the_setting_counts_and_that_is_told(workspace: Workspace) -> None:
    renamed(workspace, "20_isabella")
    settings, told = adopt_repeats(SETTINGS.with_values({"training.repeats": 8}), workspace)
    assert settings.training.repeats == 8 and workspace.image_folder(settings).name == "8_isabella"
    assert "20_isabella" in told[0] and "to 8" in told[0]


def test_looking_at_the_captions_renames_nothing(workspace: Workspace) -> None:
    from lib_singlelora.curation.captions import list_tags

    folder = renamed(workspace, "20_isabella")
    assert len(list_tags(SETTINGS, workspace).captions) == 3
    assert folder.is_dir()


def test_what_is_not_trained_is_named(workspace: Workspace) -> None:
    own = workspace.image_folder(SETTINGS)
    for name in (
        "image/5_red_isabella",
        "image/isabella",
        "image/3_isabella",
        "image/5_empty",
        "reg/1_boy",
        "reg/1_girl",
        "reg/rejected",
    ):
        (workspace.root / name).mkdir(parents=True)
        if "empty" not in name:
            Image.new("RGB", (8, 8)).save(workspace.root / name / "a.png")
    Image.new("RGB", (8, 8)).save(workspace.root / "image" / "loose.png")
    told = left_out(SETTINGS, workspace)
    for words in (
        "image/5_red_isabella is not trained (1 files): it is the concept 'red_isabella'",
        "image/isabella is not trained",
        "image/3_isabella is not trained (1 files): 5_isabella is used",
        "reg/1_boy is not trained",
        "loose.png",
    ):
        assert any(words in sentence for sentence in told), (words, told)
    assert len(told) == 5
    shown = collect_pictures(SETTINGS, workspace, [(512, 512)])
    assert {picture.path.parent for picture in shown if not picture.regularization} == {own}


def test_a_caption_that_is_too_long_is_named_with_its_tokens(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    long = "isabella, " + ", ".join(["hat"] * 150)
    (tmp_path / "a.txt").write_text(long, encoding="utf-8")
    picture = Picture(tmp_path / "a.png", long, (64, 64))

    def count(text: str) -> int:
        return len(text.replace(",", " ,").split())

    (told,) = oddities([picture], "isabella", 225, count)
    assert "a.png: its caption has 301 tokens, and 225 are trained" in told
    assert "max_token_length" in oddities([picture], "isabella", 150, count)[0]
    assert oddities([picture], "isabella", 301, count) == []
    regularization = Picture(tmp_path / "a.png", long, (64, 64), regularization=True)
    assert "301 tokens" in oddities([regularization], "isabella", 225, count)[0]


def test_further_lines_of_a_caption_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("isabella, girl\nisabella, hat", encoding="utf-8")
    picture = Picture(tmp_path / "a.png", "isabella, girl\nisabella, hat", (64, 64))
    assert "2 lines, and the first is trained" in oddities([picture], "isabella", 225, len)[0]
