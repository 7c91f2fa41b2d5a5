"""A workspace from a stranger: no name leads out of it, no link is followed, no code runs."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lib_singlelora.curation.captions import undoable
from lib_singlelora.curation.overview import dataset_of
from lib_singlelora.curation.regularization import Review, rejections, review
from lib_singlelora.errors import SettingsError, SnapshotError, WorkspaceError
from lib_singlelora.files.fileio import file_hash
from lib_singlelora.files.weights import UnreadableWeights, read_pickle
from lib_singlelora.library.choose import choose_lora
from lib_singlelora.service.lora_files import LoraFilesService
from lib_singlelora.service.service import Service
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.accept import accept
from lib_singlelora.stages.loopback import lineage_of
from lib_singlelora.stages.prepare import unsure_mask
from lib_singlelora.training.snapshot import FORMAT, Snapshot, load_snapshot, save_snapshot
from lib_singlelora.workspace.recommendation import saved_recommendation
from lib_singlelora.workspace.resume import finish
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.timing import _read as read_pace
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import QuietHost

SETTINGS = Settings.from_dict({"character.trigger": "isa", "character.class_token": "girl"})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """With a crop and its caption; beside it lies what belongs to somebody else."""
    made = Workspace(tmp_path / "sent")
    made.save_settings(SETTINGS)
    folder = made.root / "image" / "5_isa"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "face.png")
    (folder / "face.txt").write_text("isa, girl")
    (tmp_path / "victim.txt").write_text("mine")
    (tmp_path / "victim.png").write_bytes(b"mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "victim.txt").write_text("mine")
    return made


def untouched(workspace: Workspace) -> bool:
    beside = workspace.root.parent
    return all(
        (beside / name).read_text() == "mine"
        for name in ("victim.txt", "victim.png", "outside/victim.txt")
    )


@pytest.mark.parametrize(
    "name",
    [
        "../victim.txt",
        "image/../../victim.txt",
        "image/isa/../../../victim.txt",
        "log/../../victim.txt",
        "..\\victim.txt",
        "{absolute}",
        "C:\\victim.txt",
        "C:victim.txt",
        "//host/share/victim.txt",
        "\\\\host\\share",
        "way/victim.txt",
        "",
        ".",
        "image/*/face.txt",
        "image/[a-z]*/face.txt",
        "a\0b",
    ],
)
def test_a_name_in_a_record_leads_nowhere_outside(workspace: Workspace, name: str) -> None:
    (workspace.root / "way").symlink_to(workspace.root.parent / "outside")
    victim = workspace.root.parent / "victim.txt"
    name = name.replace("{absolute}", str(victim))
    record = StageRecord("crop", "x", False, {name: file_hash(victim)})
    workspace.save_record(record)
    read = workspace.record("crop")
    for path in workspace.files_of(read):
        assert path.resolve().is_relative_to(workspace.root.resolve()), path
    finish(workspace, read, [])  # deletes what it wrote once and does not write now
    assert untouched(workspace)
    assert (workspace.root / "image" / "5_isa" / "face.txt").exists()


def test_an_ordinary_file_of_a_record_is_still_cleared_away(workspace: Workspace) -> None:
    old = workspace.root / "image" / "5_isa" / "old.png"
    old.write_bytes(b"x")
    record = StageRecord("crop")
    workspace.note_file(record, old)
    finish(workspace, record, [])
    assert not old.exists()


@pytest.mark.parametrize(
    "name", ["../../victim", "..\\..\\victim", "/tmp/victim", "0001/../../../victim", "face"]
)
def test_a_decision_on_a_picture_moves_nothing_outside(workspace: Workspace, name: str) -> None:
    decision = {"kept": False, "reasons": [], "by": "hand", "seed": 1, "prompt": "", "caption": ""}
    record = {
        "fingerprint": "x",
        "complete": True,
        "files": {},
        "data": {"decisions": {name: decision}, "moving": name, "placing": name},
    }
    (workspace.root / "log").mkdir()
    (workspace.root / "log" / "regularize.json").write_text(json.dumps(record))
    assert review(SETTINGS, workspace).kept == {}
    assert list(Review(SETTINGS, workspace, workspace.record("regularize"))) == []
    assert untouched(workspace)


@pytest.mark.parametrize(
    "lora", ["{outside}", "../secret.safetensors", "../../secret.safetensors", "link.safetensors"]
)
def test_a_recommended_file_of_elsewhere_is_not_taken(workspace: Workspace, lora: str) -> None:
    secret = workspace.root.parent / "secret.safetensors"
    secret.write_bytes(b"secret")
    workspace.models.mkdir()
    (workspace.models / "link.safetensors").symlink_to(secret)
    (workspace.models / "isa.safetensors").symlink_to(secret)
    best = {
        "epoch": 1,
        "strength": 0.8,
        "preset": "ALL",
        "lora": lora.replace("{outside}", str(secret)),
        "reason": "",
    }
    workspace.save_record(StageRecord("plot", "x", True, {}, {"recommendation": best}))
    assert saved_recommendation(workspace) is None
    with pytest.raises(Exception, match="found no LoRA"):
        choose_lora(SETTINGS, workspace)


def test_a_recommendation_of_a_workspace_that_was_moved_still_counts(workspace: Workspace) -> None:
    workspace.models.mkdir()
    (workspace.models / "isa.safetensors").write_bytes(b"x")
    for lora in (
        "C:\\Users\\anna\\isa\\model\\isa.safetensors",
        "/elsewhere/isa/model/isa.safetensors",
    ):
        best = {"epoch": 1, "strength": 0.8, "preset": "ALL", "lora": lora, "reason": ""}
        workspace.save_record(StageRecord("plot", "x", True, {}, {"recommendation": best}))
        found = saved_recommendation(workspace)
        assert found is not None and found.lora == workspace.models / "isa.safetensors"


def test_links_among_the_pictures_are_not_read(workspace: Workspace) -> None:
    folder = workspace.root / "image" / "5_isa"
    (folder / "face.txt").unlink()
    (folder / "face.txt").symlink_to(workspace.root.parent / "victim.txt")
    (folder / "linked.png").symlink_to(folder / "face.png")
    found = dataset_of(SETTINGS, workspace)
    assert {name: own["text"] for name, own in found["captions"].items()} == {"face": ""}


def test_nothing_is_written_below_a_linked_folder(workspace: Workspace) -> None:
    (workspace.root / "model").symlink_to(workspace.root.parent / "outside")
    with (
        pytest.raises(WorkspaceError, match="model: found a link to a folder"),
        workspace.writing("train"),
    ):
        pass


def test_what_is_kept_beside_a_job_is_not_written_below_a_linked_folder(
    workspace: Workspace,
) -> None:
    (workspace.root / "inpaint").symlink_to(workspace.root.parent / "outside")
    with pytest.raises(WorkspaceError, match="inpaint: found a link to a folder"):
        accept(SETTINGS, workspace, [workspace.root / "image" / "5_isa" / "face.png"])
    assert [path.name for path in (workspace.root.parent / "outside").iterdir()] == ["victim.txt"]


def test_pictures_of_the_bench_are_not_written_below_a_linked_folder(workspace: Workspace) -> None:
    (workspace.root / "plots").symlink_to(workspace.root.parent / "outside")
    desk = LoraFilesService(Service(QuietHost(), lambda: workspace.root.parent))
    with pytest.raises(WorkspaceError, match="plots: found a link to a folder"):
        desk.presets_picture("sent")
    assert [path.name for path in (workspace.root.parent / "outside").iterdir()] == ["victim.txt"]


def test_the_log_is_not_written_below_a_linked_folder(workspace: Workspace) -> None:
    (workspace.root / "log").symlink_to(workspace.root.parent / "outside")
    workspace.events.write("started")
    assert [path.name for path in (workspace.root.parent / "outside").iterdir()] == ["victim.txt"]


def test_a_caption_of_gigabytes_is_told_and_not_read(workspace: Workspace) -> None:
    with (workspace.root / "image" / "5_isa" / "face.txt").open("wb") as file:
        file.truncate(3 << 30)  # takes no room on most disks
    (told,) = dataset_of(SETTINGS, workspace)["unreadable"]
    assert "found 3072 MB, expected a text of at most 16 MB" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes there")
def test_settings_that_are_a_pipe_are_not_waited_for(workspace: Workspace) -> None:
    workspace.settings_file.unlink()
    os.mkfifo(workspace.settings_file)
    # A thread of its own, for on failure it never ends.
    read = threading.Thread(target=workspace.settings_text, daemon=True)
    read.start()
    read.join(10)
    assert not read.is_alive()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_lock_file_that_is_a_link_empties_nothing(workspace: Workspace) -> None:
    for name in (".singlelora.lock", ".singlelora.settings.lock"):
        (workspace.root / name).unlink(missing_ok=True)
        (workspace.root / name).symlink_to(workspace.root.parent / "victim.txt")
    with pytest.raises(WorkspaceError, match="found a link"), workspace.writing("train"):
        pass
    with pytest.raises(WorkspaceError, match="found a link"):
        workspace.save_settings(SETTINGS.with_values({"training.rank": 3}))
    assert untouched(workspace)


class Calls:
    """The call that a pickle makes when it is read without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_a_snapshot_runs_no_code(workspace: Workspace, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    workspace.snapshot.mkdir(parents=True)
    state = workspace.snapshot / "state.pt"
    torch.save({"format": FORMAT, "fingerprint": Calls(marker)}, state)
    with pytest.raises(SnapshotError):
        load_snapshot(state, "x")
    torch.save(
        {"format": FORMAT, "fingerprint": Calls(marker)},
        state,
        _use_new_zipfile_serialization=False,
    )
    with pytest.raises(SnapshotError):
        load_snapshot(state, "x")
    assert not marker.exists()


def test_a_torchscript_program_is_not_loaded(tmp_path: Path) -> None:
    """Before 2.6 torch.load runs it, whatever weights_only says."""
    path = tmp_path / "state.pt"
    torch.save({"a": torch.zeros(1)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/constants.pkl", b"\x80\x02).")
    with pytest.raises(UnreadableWeights, match="TorchScript"):
        read_pickle(path)


@pytest.mark.parametrize(
    "values",
    [
        {"step": "x"},
        {"step": -1},
        {"losses": None},
        {"network": []},
        {"fingerprint": 5},
        {"seconds": "long"},
        {"more": 1},
        {"ema": 5},
        {"validated": 5},
        {"validated": {"validation_loss": "low"}},
    ],
)
def test_a_snapshot_of_other_values_is_told(workspace: Workspace, values: dict[str, Any]) -> None:
    state = workspace.snapshot / "state.pt"
    save_snapshot(state, Snapshot("x", 1, 0, 1, 1.0, {}, {}, [0.1], {}))
    assert load_snapshot(state, "x") is not None
    torch.save({**read_pickle(state), **values}, state)
    with pytest.raises(SnapshotError, match="broken"):
        load_snapshot(state, "x")


WRONG: list[Any] = [
    None,
    [],
    5,
    "text",
    True,
    {"a": None},
    {"0001": None},
    [None],
    [{}],
    {"views": {"face": None}},
    1e999,
    -1,
]


def records(stage: str, value: Any) -> list[bytes]:
    """A stage's record in which something is of another kind."""
    good: dict[str, Any] = {"fingerprint": "x", "complete": True, "files": {}, "data": {}}
    keys = (
        "views",
        "symmetry",
        "repeats",
        "notes",
        "traits",
        "seen",
        "decisions",
        "placing",
        "moving",
        "recommendation",
        "departures",
        "budget",
        "blocks",
        "warnings",
        "mask_confidence",
        "memory",
        "validation",
        "count",
        "judged",
    )
    made: list[Any] = [
        value,
        *({**good, key: value} for key in good),
        *({**good, "data": {key: value}} for key in keys),
    ]
    if stage == "crop":
        made += [
            {**good, "data": {"views": {"face": {key: value}}}}
            for key in ("box", "tags", "symmetry", "pixels")
        ]
    if stage == "regularize":
        decision = {
            "kept": True,
            "reasons": [],
            "by": "hand",
            "seed": 1,
            "prompt": "",
            "caption": "",
        }
        made += [
            {**good, "data": {"decisions": {"0001": {**decision, key: value}}}} for key in decision
        ]
    return [json.dumps(each).encode() for each in made]


@pytest.mark.parametrize(
    "stage", ["prepare", "crop", "caption", "regularize", "train", "plot", "trigger"]
)
def test_a_record_of_the_wrong_kind_is_no_record_and_no_traceback(
    workspace: Workspace, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = workspace.root / "log" / f"{stage}.json"
    path.parent.mkdir()
    contents = [content for value in WRONG for content in records(stage, value)]
    contents += [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[" * 100_000,
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
    ]
    for content in contents:
        path.write_bytes(content)
        read = workspace.record(stage)
        assert isinstance(read.data, dict) and isinstance(read.files, dict)
        dataset_of(SETTINGS, workspace)
        rejections(workspace)
        saved_recommendation(workspace)
        unsure_mask(workspace)
        workspace.files_of(read)
        Review(SETTINGS, workspace, workspace.record("regularize"))
    told = [
        record.getMessage()
        for record in caplog.records
        if "keeps what it finds" in record.getMessage()
    ]
    assert told and all(
        "\n" not in line and f"log/{stage}.json" in line.replace("\\", "/") for line in told
    )


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b"5",
        b'{"generated": null}',
        b'{"generated": {"..": {}}}',
        b"\xff",
        b'{"generated": {"1": {"sha256": 5}}}',
        b'{"version": "2"}',
        b'{"version": 1e400}',
        b"{",
    ],
)
def test_a_lineage_of_the_wrong_kind_is_one_clear_line(
    workspace: Workspace, content: bytes
) -> None:
    (workspace.root / "lineage.json").write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"lineage\.json") as caught:
        lineage_of(workspace)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b'"x"',
        b"\xff",
        b"[" * 100_000,
        b'{"training": null}',
        b'{"checkpoint": 5}',
        b'{"checkpoint": "a\\u0000b"}',
        b'{"training": {"rank": null}}',
        b'{"version": null}',
        b'{"version": 0}',
        b'{"version": -5}',
    ],
)
def test_settings_of_the_wrong_kind_are_one_clear_line(
    workspace: Workspace, content: bytes
) -> None:
    workspace.settings_file.write_bytes(content)
    for read in (workspace.load_settings, workspace.load_checkpoint_path):
        try:
            read()
        except SettingsError as error:
            assert (
                "\n" not in str(error) and "found" in str(error)
            ) or "this program knows" in str(error)
    with pytest.raises(SettingsError):
        workspace.load_settings()


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b'{"artifacts": 5}',
        b'{"artifacts": [5]}',
        b'{"a": NaN}',
        b"\xff",
        b"[[]]",
        b'[{"image/isa/face.txt": {"before": 5, "after": "x"}}]',
        b'{"a": "b"}',
        b'{"a": 1e400}',
    ],
)
def test_notes_beside_of_the_wrong_kind_count_as_none(workspace: Workspace, content: bytes) -> None:
    for name in ("source/artifacts.json", "log/edits.json", "log/pace.json"):
        (workspace.root / name).parent.mkdir(exist_ok=True)
        (workspace.root / name).write_bytes(content)
    assert undoable(workspace) == 0 and all(pace > 0 for pace in read_pace(workspace).values())
    assert dataset_of(SETTINGS, workspace)["artifacts"] == []
