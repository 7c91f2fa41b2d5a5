"""All captions of a workspace at once, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from lib_singlelora.curation.captions import count, edit_tags, list_tags, undo_tags, write_caption
from lib_singlelora.errors import WorkspaceError
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.caption import caption
from lib_singlelora.stages.context import StageContext
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import cropped, quiet_host

SETTINGS = Settings.from_dict(
    {"character": {"trigger": "isabella", "class_token": "girl"}, "caption": {"tagger": "none"}}
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = cropped(tmp_path / "w", SETTINGS)
    caption(StageContext(SETTINGS, workspace, quiet_host(tmp_path)))
    return workspace


def texts(workspace: Workspace) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(workspace.image_folder(SETTINGS).glob("*.txt"))
    }


def test_the_table_tells_every_tag_and_how_often(workspace: Workspace) -> None:
    found = list_tags(SETTINGS, workspace)
    assert found.tags == {
        "girl": 3,
        "isabella": 3,
        "close-up": 1,
        "face focus": 1,
        "full body": 1,
        "head out of frame": 1,
        "lower body": 1,
    }
    assert found.changed == () and found.undoable == 0


def test_a_change_reaches_every_caption_and_counts_as_by_hand(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = edit_tags(SETTINGS, workspace, ["white dress"], ["face focus"], {"girl": "woman"})
    assert made.tags["white dress"] == made.tags["woman"] == 3 and "face focus" not in made.tags
    kept = caption(
        StageContext(
            SETTINGS.with_values({"caption.underscores": True}), workspace, quiet_host(tmp_path)
        )
    ).kept
    assert len(kept) == 3


def test_undo_gives_the_same_bytes_change_by_change_after_a_restart(
    workspace: Workspace, tmp_path: Path
) -> None:
    first = texts(workspace)
    edit_tags(SETTINGS, workspace, ["hat"])
    second = texts(workspace)
    edit_tags(SETTINGS, workspace, remove=["girl"])
    again = Workspace(workspace.root)
    assert undo_tags(SETTINGS, again).undoable == 1 and texts(again) == second
    assert undo_tags(SETTINGS, again).undoable == 0 and texts(again) == first
    assert caption(StageContext(SETTINGS, again, quiet_host(tmp_path))).kept == ()
    with pytest.raises(WorkspaceError, match="no change of tags to undo"):
        undo_tags(SETTINGS, again)


def test_undo_leaves_what_was_written_by_hand_since(workspace: Workspace) -> None:
    before = texts(workspace)
    edit_tags(SETTINGS, workspace, ["hat"])
    mine = workspace.image_folder(SETTINGS) / "face.txt"
    mine.write_text("by hand", encoding="utf-8")
    made = undo_tags(SETTINGS, workspace)
    assert made.left == (mine,) and len(made.changed) == 2
    assert texts(workspace) == {**before, "face.txt": b"by hand"}


def test_a_change_that_changes_nothing_is_no_step_to_undo(workspace: Workspace) -> None:
    assert edit_tags(SETTINGS, workspace, remove=["hat"]).undoable == 0


def test_a_caption_that_was_not_there_goes_again(workspace: Workspace) -> None:
    (workspace.image_folder(SETTINGS) / "face.txt").unlink()
    edit_tags(SETTINGS, workspace, ["hat"])
    assert texts(workspace)["face.txt"] == b"hat"
    undo_tags(SETTINGS, workspace)
    assert "face.txt" not in texts(workspace)


def test_other_repeats_do_not_lose_the_way_back(workspace: Workspace) -> None:
    before = texts(workspace)
    edit_tags(SETTINGS, workspace, ["hat"])
    more = SETTINGS.with_values({"training.repeats": 9})
    undo_tags(more, workspace)
    assert {
        path.name: path.read_bytes() for path in workspace.image_folder(more).glob("*.txt")
    } == before


def test_a_damaged_list_of_changes_is_none(workspace: Workspace) -> None:
    edit_tags(SETTINGS, workspace, ["hat"])
    (workspace.root / "log" / "edits.json").write_text("[", encoding="utf-8")
    assert list_tags(SETTINGS, workspace).undoable == 0


def test_a_text_that_is_no_text_is_told(workspace: Workspace) -> None:
    (workspace.image_folder(SETTINGS) / "face.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(WorkspaceError, match="not UTF-8"):
        edit_tags(SETTINGS, workspace, ["hat"])


def test_a_caption_is_measured_with_what_lies_beyond_the_limit() -> None:
    assert count("isabella, girl").tokens == 3 and count("isabella, girl").beyond == ""
    long = count(", ".join(f"tag number {n}" for n in range(40)))
    assert long.tokens > 75 and long.beyond.endswith("39")


def test_one_caption_is_written_and_taken_back(workspace: Workspace) -> None:
    first = texts(workspace)
    made = write_caption(SETTINGS, workspace, "face", " isabella, girl, smile \n")
    assert [path.name for path in made.changed] == ["face.txt"] and made.tags["smile"] == 1
    assert texts(workspace)["face.txt"] == b"isabella, girl, smile"
    undo_tags(SETTINGS, workspace)
    assert texts(workspace) == first
    with pytest.raises(WorkspaceError, match="found no crop 'elbow', expected one of"):
        write_caption(SETTINGS, workspace, "elbow", "x")
