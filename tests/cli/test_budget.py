"""The word `budget`: what a training would need, for families, a GPU and a checkpoint's file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib_singlelora.cli.main import main
from lib_singlelora.embedded.paths import CHECKPOINT


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["budget", "--json", *words]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_it_tells_both_families_at_both_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    result = told(capsys, "--memory", "12")
    assert [(row["family"], row["resolution"]) for row in result["rows"][::2]] == [
        ("sd1", 512),
        ("sd1", 1024),
        ("sdxl", 512),
        ("sdxl", 1024),
    ]
    assert result["rank"] == 16 and result["computer"]["bytes"] == 12 * 2**30
    assert "auto_checkpointing" in result["advice"][-1]["text"]


def test_a_checkpoint_is_told_by_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    if not CHECKPOINT.exists():
        pytest.skip("the embedded checkpoint is not there")
    result = told(capsys, "--checkpoint", str(CHECKPOINT), "--memory", "4")
    assert [row["resolution"] for row in result["rows"]] == [128, 128]
    assert result["rows"][0]["peak"] < 1e9


def test_a_table_is_printed_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget", "--family", "sdxl", "--memory", "12"]) == 0
    text = capsys.readouterr().out
    assert "too large" in text and "sdxl at 1024" in text and "sd1" not in text


@pytest.mark.parametrize(
    "words",
    [["--memory", "0"], ["--set", "training.rnak=8"], ["--checkpoint", "/nowhere/a.safetensors"]],
)
def test_what_cannot_be_is_one_clear_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["budget", *words]) == 1
    assert capsys.readouterr().err.strip().count("\n") == 0
