"""A crop's other name: settings, files, records, and what it may not be called."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from PIL import Image

from lib_singlelora.crops.views import FRAMINGS
from lib_singlelora.curation.captions import undo_tags, write_caption
from lib_singlelora.curation.crop_name import new_name, rename_files, settings_renamed
from lib_singlelora.curation.overview import crops_of
from lib_singlelora.errors import ConflictError, NotFoundError, WorkspaceError
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.kohya_folders import read_caption
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import COLOURS, cropped

SETTINGS = Settings.from_dict({"character": {"trigger": "isabella", "class_token": "girl"}})
FACE = next(framing for framing in FRAMINGS if framing.name == "face")
HAT = "hat:8:8:40:40"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A prepared picture of 96 x 128 and three crops, each with a caption that the stage wrote."""
    workspace = cropped(tmp_path / "w", SETTINGS)
    workspace.prepared.parent.mkdir(parents=True)
    Image.new("RGB", (96, 128), "grey").save(workspace.prepared)
    crop = workspace.record("crop")
    caption = StageRecord("caption", "x", True, {}, {"seen": {name: [name] for name in COLOURS}})
    for name in COLOURS:
        picture = workspace.image_folder(SETTINGS) / f"{name}.png"
        workspace.note_file(crop, picture)
        picture.with_suffix(".txt").write_text(f"isabella, girl, {name}", encoding="utf-8")
        workspace.note_file(caption, picture.with_suffix(".txt"))
    workspace.save_record(crop)
    workspace.save_record(caption)
    return workspace


def renamed(workspace: Workspace, settings: Settings, crop: str, name: str) -> Settings:
    given = new_name(settings, workspace, crop, name)
    changed = settings.with_values(settings_renamed(settings, workspace, crop, given))
    rename_files(changed, workspace, crop, given)
    return changed


def test_a_proposed_crop_becomes_a_box_of_that_name_and_is_not_proposed_again(
    workspace: Workspace,
) -> None:
    changed = renamed(workspace, SETTINGS, "face", "my head")
    assert changed.crop.boxes == ("my_head:0:0:48:64",)
    assert changed.crop.views == ("full_body", "my_head", "legs")
    crops = {crop["name"]: crop for crop in crops_of(changed, workspace)}
    assert set(crops) == {"full_body", "my_head", "legs"}
    assert crops["my_head"]["tags"] == ["my head"]


def test_a_box_that_was_drawn_and_not_cut_keeps_its_place_among_the_boxes(
    workspace: Workspace,
) -> None:
    drawn = SETTINGS.with_values({"crop.boxes": (HAT, "sash:0:40:96:80")})
    changed = renamed(workspace, drawn, "hat", "bow")
    assert changed.crop.boxes == ("bow:8:8:40:40", "sash:0:40:96:80")
    assert changed.crop.views == ()


def test_what_the_stages_wrote_is_theirs_under_the_new_name_and_what_a_hand_wrote_stays(
    workspace: Workspace,
) -> None:
    write_caption(SETTINGS, workspace, "legs", "by hand")
    changed = renamed(workspace, renamed(workspace, SETTINGS, "face", "head"), "legs", "boots")
    folder = workspace.image_folder(changed)
    caption = workspace.record("caption")
    assert not workspace.edited(workspace.record("crop"), folder / "head.png")
    assert not workspace.edited(caption, folder / "head.txt")
    assert read_caption(folder / "boots.png") == "by hand"
    assert workspace.edited(caption, folder / "boots.txt")
    assert set(caption.data["seen"]) == {"full_body", "head", "boots"}
    undo_tags(changed, workspace)
    assert read_caption(folder / "boots.png") == "isabella, girl, legs"


def test_a_crop_that_validates_still_does(workspace: Workspace) -> None:
    held = SETTINGS.with_values({"training.validation_views": ("legs",)})
    changed = renamed(workspace, held, "legs", "boots")
    assert changed.training.validation_views == ("boots",)


def test_a_name_that_goes_back_leaves_everything_as_it_was(workspace: Workspace) -> None:
    before = {path.name: path.read_bytes() for path in workspace.image_folder(SETTINGS).iterdir()}
    there = renamed(workspace, SETTINGS, "face", "head")
    renamed(workspace, there, "head", "face")
    after = {path.name: path.read_bytes() for path in workspace.image_folder(SETTINGS).iterdir()}
    assert after == before
    assert workspace.record("crop").data["views"]["face"]["tags"] == list(FACE.tags)


@pytest.mark.parametrize("name", ["legs", "LEGS", " legs ", "mine"])
def test_a_name_that_is_taken_is_refused(workspace: Workspace, name: str) -> None:
    Image.new("RGB", (8, 8)).save(workspace.image_folder(SETTINGS) / "mine.jpg")
    with pytest.raises(ConflictError):
        new_name(SETTINGS, workspace, "face", name)


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a:b", "a,b", "a.b", "con", "x" * 65])
def test_a_name_that_no_file_can_have_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(WorkspaceError):
        new_name(SETTINGS, workspace, "face", name)


def test_a_picture_of_the_user_s_own_has_no_box_to_rename(workspace: Workspace) -> None:
    Image.new("RGB", (8, 8)).save(workspace.image_folder(SETTINGS) / "mine.png")
    with pytest.raises(NotFoundError):
        new_name(SETTINGS, workspace, "mine", "other")
