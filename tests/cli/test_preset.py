"""Whose training preset it is, on the command line: another --checkpoint brings its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

pytest.importorskip("diffusers")

from lib_singlelora.cli.main import main
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace

PICTURE = Path(__file__).parents[1] / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def asking(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint whose metadata asks for the preset `quick`."""
    path = tmp_path_factory.mktemp("asking") / "asking.safetensors"
    metadata = {"native_size": "64", "singlelora_preset": "quick"}
    save_file(load_file(small_checkpoint), path, metadata)
    shutil.copy(small_checkpoint.with_suffix(".yaml"), path.with_suffix(".yaml"))
    return path


def test_the_preset_is_that_of_the_checkpoint_until_training_begins(
    tmp_path: Path, small_checkpoint: Path, asking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "w"

    def prepared(checkpoint: Path, *more: str) -> dict[str, Any]:
        words = ["prepare", str(PICTURE), "--workspace", str(root), "--trigger", "eileen"]
        words += ["--class-token", "woman", "--set=prepare.long_side=256", "--json", *more]
        assert main([*words, "--checkpoint", str(checkpoint)]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)["training_preset"]
        return told

    assert prepared(small_checkpoint, "--set=training.rank=16")["name"] == "recommended"
    told = prepared(asking)
    assert (told["name"], told["whose"]) == ("quick", "checkpoint")
    assert "'asking' asks for it (its metadata)" in told["why"]
    training = Workspace(root).load_settings().training
    assert (training.rank, training.epochs) == (16, 4)  # the rank was set by hand
    Workspace(root).save_record(StageRecord("train", "begun"))
    told = prepared(small_checkpoint)
    assert told["name"] == "quick" and "stays unless you choose another" in told["note"]
    assert prepared(asking, "--set=training.preset=outd")["whose"] == "user"


def test_people_are_told_too(
    tmp_path: Path, asking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(PICTURE), "--workspace", str(tmp_path / "w"), "--trigger", "eileen"]
    words += ["--class-token", "woman", "--set=prepare.long_side=256"]
    assert main([*words, "--checkpoint", str(asking)]) == 0
    assert (
        "preset          quick, because the loaded checkpoint 'asking' asks for it (its metadata)"
        in capsys.readouterr().out.splitlines()
    )


def test_a_refused_training_keeps_none_of_the_call_s_settings(
    tmp_path: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "w"
    words = ["prepare", str(PICTURE), "--workspace", str(root), "--trigger", "eileen"]
    words += ["--class-token", "woman", "--set=prepare.long_side=256"]
    words += ["--set=prepare.mask=none", "--set=caption.tagger=none"]
    assert main([*words, "--checkpoint", str(small_checkpoint)]) == 0
    for stage in ("crop", "caption"):
        assert main([stage, "--workspace", str(root)]) == 0
    before = Workspace(root).load_settings()
    missing = tmp_path / "missing.safetensors"
    train = ["train", "--workspace", str(root), "--set=regularization.count=0"]
    for _ in range(2):  # the first must not hide the second
        assert main([*train, f"--set=training.start_from={missing}"]) != 0
        assert "training.start_from" in capsys.readouterr().err
        assert Workspace(root).load_settings() == before
