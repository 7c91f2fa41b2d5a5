"""The workspace: atomic, and honest about what a person edited."""

from pathlib import Path

import pytest

from lib_singlelora.errors import SettingsError, WorkspaceError
from lib_singlelora.files.fileio import fingerprint, write_text
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="found a file, expected a folder"):
        Workspace(tmp_path / "file")
    with pytest.raises(WorkspaceError, match="a file"):
        Workspace(tmp_path / "file" / "below")


def test_a_folder_with_files_that_is_no_workspace_is_not_begun_in(tmp_path: Path) -> None:
    (tmp_path / "Pictures" / "image" / "3_isa").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WorkspaceError, match="no workspace, expected a new or empty one"):
        Workspace.begun(tmp_path / "Pictures")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_is_begun_in_that_is_new_empty_or_was_begun(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").touch()
    begun = Workspace(tmp_path / "begun")
    write_text(begun.root / "source" / "original.png", "x")
    begun.save_record(StageRecord("prepare"))  # its settings.json was deleted
    for name in ("new", "empty", "begun"):
        assert Workspace.begun(tmp_path / name).root == tmp_path / name


def test_a_stage_alone_needs_a_workspace_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="found no workspace"):
        Workspace(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_an_edit_by_hand_is_seen_and_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    record = StageRecord("caption")
    path = tmp_path / "image" / "5_isa" / "face.txt"
    assert workspace.write_unless_edited(record, path, b"one", force=False)
    assert workspace.write_unless_edited(record, path, b"two", force=False)
    path.write_text("by hand")
    assert not workspace.write_unless_edited(record, path, b"three", force=False)
    assert path.read_text() == "by hand"
    assert workspace.write_unless_edited(record, path, b"four", force=True)
    assert path.read_text() == "four"


def test_another_number_in_the_folder_s_name_keeps_the_record(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    record = StageRecord("crop")
    one = Settings.from_dict({"character": {"trigger": "isa"}, "training": {"repeats": 5}})
    path = workspace.image_folder(one) / "face.png"
    workspace.write_unless_edited(record, path, b"x", force=False)
    folder = path.parent.rename(tmp_path / "image" / "7_isa")
    assert workspace.image_folder(one) == folder
    assert not workspace.edited(record, folder / "face.png")
    assert workspace.files_of(record) == [folder / "face.png"]


def test_asking_for_the_folder_of_the_crops_changes_nothing_on_disk(tmp_path: Path) -> None:
    (tmp_path / "image" / "7_isa").mkdir(parents=True)
    settings = Settings.from_dict({"character": {"trigger": "isa"}, "training": {"repeats": 5}})
    assert Workspace(tmp_path).image_folder(settings).name == "7_isa"
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "image", tmp_path / "image" / "7_isa"]


def test_a_concept_whose_name_ends_alike_is_not_the_character_s(tmp_path: Path) -> None:
    settings = Settings.from_dict({"character": {"trigger": "isabella"}})
    for name in (
        "5_red_isabella",
        "5_isabella_dress",
        "5_Isabella2",
        "isabella",
        "0_isabella",
        "x_isabella",
    ):
        (tmp_path / "image" / name).mkdir(parents=True)
    workspace = Workspace(tmp_path)
    assert workspace.own_folders(settings) == []
    assert workspace.image_folder(settings).name == f"{settings.training.repeats}_isabella"
    (tmp_path / "image" / "9_isabella").mkdir()
    assert workspace.image_folder(settings).name == "9_isabella"


def test_settings_and_checkpoint_are_remembered(tmp_path: Path) -> None:
    settings = Settings.from_dict({"training": {"rank": 4}})
    Workspace(tmp_path).save_settings(settings, tmp_path / "model.safetensors")
    assert Workspace(tmp_path).load_settings() == settings
    assert Workspace(tmp_path).load_checkpoint_path() == tmp_path / "model.safetensors"


def test_damaged_settings_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"training": ')
    with pytest.raises(SettingsError, match="not valid JSON"):
        Workspace(tmp_path).load_settings()


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.save_record(StageRecord("crop", "abc", True))
    (tmp_path / "log" / "crop.json").write_text("{")
    assert workspace.record("crop") == StageRecord("crop")


def test_fingerprints_tell_values_apart() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_file_that_a_kill_left_without_its_note_is_not_taken_for_a_persons(
    tmp_path: Path,
) -> None:
    """Killed between the file and the record, the next call kept it as edited by hand, for ever."""
    workspace = Workspace(tmp_path / "w")
    path = workspace.root / "source" / "prepared.png"
    workspace.write_unless_edited(StageRecord("prepare"), path, b"made", force=False)
    again = StageRecord("prepare")
    assert workspace.write_unless_edited(again, path, b"made", force=False)
    assert not workspace.edited(again, path)
    path.write_bytes(b"by hand")
    assert not workspace.write_unless_edited(StageRecord("prepare"), path, b"made", force=False)
    assert path.read_bytes() == b"by hand"
