"""One writer in a workspace: who comes second is told who holds it, reading never waits, kill -9
releases it.
"""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from lib_singlelora.cli.output import ProgressPrinter
from lib_singlelora.cli.stages import _EndOnceDeleted
from lib_singlelora.curation.captions import write_caption
from lib_singlelora.curation.mask import replace_mask
from lib_singlelora.curation.overview import dataset_of
from lib_singlelora.curation.regularization import review
from lib_singlelora.errors import ConflictError, NotFoundError
from lib_singlelora.files import writer_lock
from lib_singlelora.files.fileio import write_text
from lib_singlelora.jobs import Progress
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace

SETTINGS = Settings.from_dict({"character.trigger": "isa", "training.repeats": 5})
HOLDS = """
import sys
from lib_singlelora.workspace.workspace import Workspace
with Workspace(sys.argv[1]).writing("train"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "isa")
    made.save_settings(SETTINGS)
    folder = made.image_folder(SETTINGS)
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "face.png")
    (folder / "face.txt").write_text("isa, girl")
    (made.root / "source").mkdir()
    for name in ("prepared.png", "mask.png"):
        Image.new("L", (64, 64), 255).save(made.root / "source" / name)
    return made


@pytest.fixture
def holder(workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the workspace."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(workspace.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_lock, "JOB_WAIT", 0.1)


def test_the_second_writer_is_told_of_the_first_and_kill_9_releases(
    workspace: Workspace, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(ConflictError) as caught, workspace.writing("train", wait=0.1):
        pass
    said = str(caught.value)
    assert f"found 'train' (process {holder.pid}, since 20" in said and "\n" not in said
    holder.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    holder.wait()
    with workspace.writing("train", wait=0.1):
        write_text(workspace.root / "log" / "a.txt", "x")


def test_reading_never_waits_and_settings_may_change_under_a_job(
    workspace: Workspace, holder: subprocess.Popen[str]
) -> None:
    assert workspace.load_settings() == SETTINGS and workspace.record("crop") == StageRecord("crop")
    assert dataset_of(SETTINGS, workspace)["captions"]["face"]["text"] == "isa, girl"
    assert review(SETTINGS, workspace).kept == {}
    changed = workspace.change_settings(lambda saved: saved.with_values({"training.repeats": 7}))
    assert workspace.image_folder(changed).name == "5_isa"  # the job relies on the name
    for change in (
        lambda: write_caption(SETTINGS, workspace, "face", "isa, boy"),
        lambda: replace_mask(workspace, Image.new("L", (64, 64), 255)),
        lambda: review(SETTINGS, workspace, reject=["1"]),
    ):
        with pytest.raises(ConflictError, match="found 'train'"):
            change()
    assert (workspace.root / "image" / "5_isa" / "face.txt").read_text() == "isa, girl"


def test_a_thread_may_enter_again_and_another_thread_may_not(workspace: Workspace) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            with Workspace(workspace.root).writing("crop", wait=0.05):
                refused.append("")
        except ConflictError as error:
            refused.append(str(error))

    with workspace.writing("run"), Workspace(workspace.root).writing("crop"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "found 'run'" in refused[0]
    other()
    assert refused[1] == ""


def test_a_deleted_workspace_ends_its_writer_and_is_not_brought_back(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="deleted or replaced"), workspace.writing("train"):
        shutil.rmtree(workspace.root)
        workspace.save_record(StageRecord("train"))
    assert not workspace.root.exists()


def test_a_workspace_deleted_while_somebody_waits_for_it_is_not_brought_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = writer_lock._acquired

    def acquired(path: Path, wait: float) -> FileLock | None:
        shutil.rmtree(workspace.root)  # by its owner, just before the other writer lets go
        return plain(path, wait)

    monkeypatch.setattr(writer_lock, "_acquired", acquired)
    with (
        pytest.raises(NotFoundError, match="found it deleted while 'crop' waited"),
        workspace.writing("crop"),
    ):
        pytest.fail("entered")
    monkeypatch.undo()
    assert os.name == "nt" or not workspace.root.exists()
    with Workspace.begun(workspace.root).writing("prepare"):
        assert workspace.root.is_dir()  # the name is free again


def test_the_command_line_sees_at_the_next_step_that_its_workspace_was_deleted(
    workspace: Workspace,
) -> None:
    watching = _EndOnceDeleted(workspace, ProgressPrinter(io.StringIO()))
    with workspace.writing("train"):
        watching(Progress("train", 1, 10, "a step"))
        shutil.rmtree(workspace.root)
        with pytest.raises(NotFoundError, match="deleted or replaced"):
            watching(Progress("train", 2, 10, "a step"))


def test_a_workspace_that_was_replaced_gets_nothing_of_the_old_writer(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="deleted or replaced"), workspace.writing("train"):
        workspace.root.rename(tmp_path / "away")
        workspace.root.mkdir()  # begun anew under the same name
        workspace.save_record(StageRecord("train"))
    assert list(workspace.root.iterdir()) == []


@pytest.mark.parametrize(
    "error", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")]
)
def test_a_share_without_locks_is_written_to_and_it_is_said(
    workspace: Workspace,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def acquire(_: object, *__: object, **___: object) -> None:
        raise error

    monkeypatch.setattr(writer_lock.FileLock, "acquire", acquire)
    with workspace.writing("train"):
        write_text(workspace.root / "a.txt", "x")
    workspace.change_settings(lambda saved: saved.with_values({"training.rank": 3}))
    assert (workspace.root / "a.txt").exists()
    assert [record for record in caplog.records if "no locks" in record.getMessage()]


def test_two_processes_change_settings_and_none_is_lost(workspace: Workspace) -> None:
    code = """
import sys
from lib_singlelora.workspace.workspace import Workspace
workspace = Workspace(sys.argv[1])
for number in range(15):
    tag = f"{sys.argv[2]}{number}"
    workspace.change_settings(
        lambda saved: saved.with_values({"caption.keep": (*saved.caption.keep, tag)})
    )
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(workspace.root), name], cwd=Path(__file__).parents[2]
        )
        for name in "ab"
    ]
    assert [child.wait() for child in children] == [0, 0]
    assert sorted(workspace.load_settings().caption.keep) == sorted(
        f"{name}{number}" for name in "ab" for number in range(15)
    )
