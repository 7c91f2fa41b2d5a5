"""The command line as a user calls it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "tests" / "data" / "astronaut.png"
QUICK = [
    f"--set={pair}"
    for pair in (
        "prepare.long_side=512",
        "regularization.count=2",
        "regularization.steps=2",
        "training.epochs=1",
        "training.repeats=1",
        "training.rank=2",
        "training.alpha=2",
        "plot.strengths=1",
        "plot.presets=ALL",
        "plot.steps=2",
        "inpaint.count=1",
        "inpaint.steps=2",
    )
]
STARTS = ["--trigger", "eileen", "--class-token", "woman"]


def call(*words: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lib_singlelora", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a call that failed."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("singlelora: ")]
    assert result.returncode == 1, result.stderr
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    assert result.stdout == ""
    return lines[0]


def test_run_then_each_stage_by_itself(tmp_path: Path, small_checkpoint: Path) -> None:
    workspace = tmp_path / "her folder"
    first = call(
        "run",
        PICTURE,
        "--workspace",
        workspace,
        *STARTS,
        "--checkpoint",
        small_checkpoint,
        "--json",
        *QUICK,
    )
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert Path(result["sheet"]).is_file() and result["workspace"] == str(workspace)
    for stage, key in (
        ("crop", "crops"),
        ("caption", "captions"),
        ("regularize", "regularization"),
        ("train", "loras"),
        ("plot", "sheet"),
        ("inpaint", "inpainted"),
    ):
        own = call(stage, "--workspace", workspace, "--json")
        assert own.returncode == 0, own.stderr
        assert json.loads(own.stdout)[key] == result[key]
    saved = (workspace / "settings.json").read_text(encoding="utf-8")
    planned = call("plot", "--workspace", workspace, "--json", "--dry-run", "--set=plot.seeds=2")
    assert {"pictures": 4, "missing": 2}.items() <= json.loads(planned.stdout).items(), (
        planned.stderr
    )
    assert (workspace / "settings.json").read_text(encoding="utf-8") == saved


def test_ctrl_c_exits_130_and_the_same_command_completes(
    tmp_path: Path, small_checkpoint: Path
) -> None:
    words = [
        "run",
        str(PICTURE),
        "--workspace",
        str(tmp_path / "w"),
        *STARTS,
        "--checkpoint",
        str(small_checkpoint),
        "--json",
        *QUICK,
        "--set=training.epochs=4",
        "--set=training.repeats=8",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "lib_singlelora", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events = Workspace(tmp_path / "w").events
    deadline = time.monotonic() + 200
    while not any(event["event"] == "step" and event["step"] >= 3 for event in events.read()):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    done = call(*words)
    assert done.returncode == 0, done.stderr
    steps = [event["step"] for event in events.read() if event["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))  # no step twice, none missing
    assert len(json.loads(done.stdout)["loras"]) == 4


def bad_pictures(folder: Path) -> dict[str, Path]:
    """File by what is wrong with it."""
    (folder / "text.png").write_text("I am no picture\n")
    with Image.open(PICTURE) as image:
        image.save(folder / "whole.jpg")
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:5000])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    (folder / "empty.png").touch()
    return {
        "text": folder / "text.png",
        "truncated": folder / "truncated.jpg",
        "dot": folder / "dot.png",
        "empty": folder / "empty.png",
        "missing": folder / "none.png",
        "folder": folder,
    }


@pytest.mark.parametrize("kind", ["text", "truncated", "dot", "empty", "missing", "folder"])
def test_a_bad_picture_is_one_clear_line(kind: str, tmp_path: Path, small_checkpoint: Path) -> None:
    picture = bad_pictures(tmp_path)[kind]
    line = refused(
        call(
            "run", picture, "--workspace", tmp_path / "w", *STARTS, "--checkpoint", small_checkpoint
        )
    )
    assert "found" in line and "expected" in line
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("name", ["a/b", "..", "isa\U0001f600", "CON", ""])
def test_a_bad_name_is_one_clear_line(name: str, tmp_path: Path, small_checkpoint: Path) -> None:
    line = refused(
        call(
            "run",
            PICTURE,
            "--workspace",
            tmp_path / "w",
            "--trigger",
            name,
            "--class-token",
            "girl",
            "--checkpoint",
            small_checkpoint,
        )
    )
    assert "trigger" in line
    assert not (tmp_path / "w").exists()


def test_a_checkpoint_that_is_missing_or_none_is_told(tmp_path: Path) -> None:
    line = refused(
        call(
            "run",
            PICTURE,
            "--workspace",
            tmp_path / "w",
            *STARTS,
            "--checkpoint",
            tmp_path / "none.safetensors",
        )
    )
    assert "none.safetensors" in line and "expected" in line


def test_a_workspace_that_is_a_file_is_told(tmp_path: Path, small_checkpoint: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(
        call(
            "run",
            PICTURE,
            "--workspace",
            tmp_path / "file",
            *STARTS,
            "--checkpoint",
            small_checkpoint,
        )
    )
    assert "found a file, expected a folder" in line


@pytest.mark.skipif(
    not Path("/proc").exists(), reason="needs a place where even an administrator cannot write"
)
def test_a_workspace_that_cannot_be_written_is_told(small_checkpoint: Path) -> None:
    line = refused(
        call(
            "run",
            PICTURE,
            "--workspace",
            "/proc/singlelora",
            *STARTS,
            "--checkpoint",
            small_checkpoint,
        )
    )
    assert "cannot be written" in line


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="mounting a small disk needs an administrator",
)
def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, small_checkpoint: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("this machine mounts no small disk")
    words = [
        "run",
        PICTURE,
        "--workspace",
        disk / "w",
        *STARTS,
        "--checkpoint",
        small_checkpoint,
        *QUICK,
    ]
    try:
        assert "the disk is full" in refused(call(*words))
        assert not list(disk.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        assert call(*words).returncode == 0
    finally:
        subprocess.run(["umount", disk], check=False)


@pytest.mark.parametrize(
    "words",
    [["run"], ["dance"], ["run", "a.png", "--workspace"], [], ["run", "a.png", "--trigger", "a"]],
)
def test_usage_errors_exit_2(words: list[str]) -> None:
    assert call(*words).returncode == 2


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    line = refused(
        call("run", PICTURE, "--workspace", tmp_path / "w", *STARTS, "--set", "training.rnak=8")
    )
    assert "did you mean 'training.rank'" in line
    assert not (tmp_path / "w").exists()


def test_a_stage_without_a_workspace_says_how_to_start(tmp_path: Path) -> None:
    assert "start one with 'run'" in refused(call("train", "--workspace", tmp_path / "none"))


def test_a_mistake_in_one_call_does_not_break_the_next(
    tmp_path: Path, small_checkpoint: Path
) -> None:
    workspace = tmp_path / "w"
    words = [
        "--workspace",
        workspace,
        *STARTS,
        "--checkpoint",
        small_checkpoint,
        "--set=prepare.long_side=512",
    ]
    assert call("prepare", PICTURE, *words).returncode == 0
    before = (workspace / "settings.json").read_text()
    assert "crop.views: found 'nose'" in refused(
        call("crop", "--workspace", workspace, "--set", "crop.views=nose")
    )
    assert (workspace / "settings.json").read_text() == before
    (tmp_path / "model.pth").write_bytes(b"hello" * 50)
    enlarge = ["--set=prepare.long_side=600", f"--set=prepare.upscaler={tmp_path / 'model.pth'}"]
    # No upscaler, or nothing here that reads one
    refused(call("prepare", PICTURE, *words[:-1], *enlarge))
    assert (workspace / "settings.json").read_text() == before
    assert call("crop", "--workspace", workspace).returncode == 0
