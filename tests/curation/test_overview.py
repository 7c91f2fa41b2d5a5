"""The overview of a data set, and the settings that follow from choices made on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from PIL import Image

from lib_singlelora.curation.overview import (
    add_box,
    artifacts_of,
    captions_of,
    choose_traits,
    crops_of,
    dataset_of,
    leave_out_crop,
    regularization_of,
    traits_of,
)
from lib_singlelora.errors import SettingsError
from lib_singlelora.files.fileio import write_json
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import COLOURS, cropped

SETTINGS = Settings.from_dict(
    {"character": {"trigger": "isabella", "class_token": "girl"}, "caption": {"tagger": "none"}}
)
HAT = {"tag": "white hat", "category": "accessory", "seen": 3, "visible": 3}
EYES = {"tag": "green eyes", "category": "eye colour", "seen": 3, "visible": 3}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A prepared picture of 96 x 128 and three crops, two of them with captions."""
    workspace = cropped(tmp_path / "w", SETTINGS)
    workspace.prepared.parent.mkdir(parents=True)
    Image.new("RGB", (96, 128), "grey").save(workspace.prepared)
    folder = workspace.image_folder(SETTINGS)
    (folder / "face.txt").write_text("isabella, girl, smile", encoding="utf-8")
    (folder / "legs.txt").write_bytes(b"\xff\xfe\xff")
    record = StageRecord("caption", "x", True, {}, {"traits": [HAT, EYES]})
    workspace.save_record(record)
    return workspace


def files_of(workspace: Workspace) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}


def test_the_whole_overview_writes_nothing(workspace: Workspace) -> None:
    before = files_of(workspace)
    assert {"artifacts", "crops", "traits", "captions", "regularization", "notes"} <= set(
        dataset_of(SETTINGS, workspace)
    )
    assert files_of(workspace) == before


def test_crops_have_their_view_and_the_users_own_only_name_and_file(workspace: Workspace) -> None:
    Image.new("RGB", (8, 8)).save(workspace.image_folder(SETTINGS) / "mine.png")
    crops = {crop["name"]: crop for crop in crops_of(SETTINGS, workspace)}
    assert set(crops) == {*COLOURS, "mine"}
    assert crops["face"]["box"] == [0, 0, 48, 64]
    assert set(crops["mine"]) == {"name", "file"}


def test_without_a_trigger_there_are_no_crops(workspace: Workspace) -> None:
    assert crops_of(Settings(), workspace) == []


def test_a_box_replaces_the_one_of_the_same_crop(workspace: Workspace) -> None:
    once = SETTINGS.with_values(add_box(SETTINGS, workspace, "face", (0, 0, 40, 40)))
    twice = add_box(once, workspace, "face", (8, 8, 48, 48))
    assert twice["crop.boxes"] == ("face:8:8:48:48",)
    with pytest.raises(SettingsError):
        add_box(SETTINGS, workspace, "face", (8, 8, 4, 4))


def test_a_box_drawn_by_hand_is_taken_away_and_kept_beside_what_is_left_out(
    workspace: Workspace,
) -> None:
    drawn = SETTINGS.with_values(add_box(SETTINGS, workspace, "own_1", (0, 0, 40, 40)))
    again = drawn.with_values(leave_out_crop(drawn, workspace, "own_1"))
    assert again.crop == SETTINGS.crop
    without = drawn.with_values(leave_out_crop(drawn, workspace, "face")).crop
    assert "own_1" in without.views and "face" not in without.views
    assert without.boxes == drawn.crop.boxes


def test_a_crop_is_left_out_by_naming_the_others(workspace: Workspace) -> None:
    values = leave_out_crop(SETTINGS, workspace, "face")
    assert values["crop.views"] == tuple(name for name in COLOURS if name != "face")
    with pytest.raises(SettingsError):
        leave_out_crop(SETTINGS, workspace, "nobody")


def test_a_text_that_is_none_is_listed_as_unreadable(workspace: Workspace) -> None:
    overview = captions_of(SETTINGS, workspace)
    assert overview["captions"]["face"]["text"] == "isabella, girl, smile"
    assert overview["captions"]["legs"]["text"] == ""
    assert len(overview["unreadable"]) == 1 and "legs.txt" in overview["unreadable"][0]


@pytest.mark.parametrize("left_out", [(), ("white hat",), ("white hat", "green eyes")])
def test_the_traits_that_are_chosen_are_those_left_out(
    workspace: Workspace, left_out: tuple[str, ...]
) -> None:
    chosen = SETTINGS.with_values(choose_traits(SETTINGS, workspace, left_out))
    traits = traits_of(chosen, workspace)
    assert {trait["tag"] for trait in traits if trait["left_out"]} == set(left_out)


def test_implausible_tags_are_listed_with_their_reasons_and_can_be_brought_back(
    workspace: Workspace,
) -> None:
    record = workspace.record("caption")
    doubt = {"tag": "2girls", "reason": "the whole picture shows one person (0.98)"}
    record.data["doubts"] = {"face": [doubt], "legs": [doubt, {"tag": "hat", "reason": "no head"}]}
    workspace.save_record(record)
    listed = {trait["tag"]: trait for trait in traits_of(SETTINGS, workspace)}
    assert listed["2girls"]["left_out"] and listed["hat"]["left_out"]
    assert listed["2girls"]["reason"] == f"face, legs: {doubt['reason']}"
    assert listed["green eyes"]["reason"] == ""
    chosen = choose_traits(SETTINGS, workspace, ["green eyes", "2girls"])
    assert chosen == {"caption.keep": ("hat",), "caption.drop": ()}
    again = {
        trait["tag"]: trait["left_out"]
        for trait in traits_of(SETTINGS.with_values(chosen), workspace)
    }
    assert again["2girls"] and not again["hat"]


def test_a_rejected_picture_that_the_user_moved_back_counts_as_kept(workspace: Workspace) -> None:
    decision = {
        "kept": False,
        "reasons": ["blurred"],
        "by": "filter",
        "seed": 1,
        "prompt": "girl, park",
        "caption": "girl",
    }
    decisions = {"0001": decision, "0002": decision}
    workspace.save_record(StageRecord("regularize", "x", True, {}, {"decisions": decisions}))
    folder = workspace.reg_folder(SETTINGS)
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "0001.png")
    pictures = regularization_of(SETTINGS, workspace)
    assert [(picture["name"], picture["kept"]) for picture in pictures] == [("0001", True)]


def test_a_damaged_list_of_artifacts_is_an_empty_one(workspace: Workspace) -> None:
    assert artifacts_of(workspace) == []
    artifact = {"name": "1", "kind": "speck", "sentence": "a speck", "cleaned": False}
    write_json(workspace.artifacts, {"artifacts": [artifact]})
    assert artifacts_of(workspace) == [artifact]
    write_json(workspace.artifacts, {"artifacts": [{"name": 1}]})
    assert artifacts_of(workspace) == []
