"""The tree passes its own linters."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "words",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["ruff", "format", "mypy"],
)
def test_the_linter_finds_nothing(words: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_machine_and_no_session_is_named() -> None:
    """Paths of one machine mean nothing on another."""
    wrong = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if parts[0].startswith((".git", ".venv", "workspaces")) or path.suffix not in (
            ".py",
            ".md",
            ".toml",
            ".json",
            ".yaml",
        ):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [
            f"{path}: {word}"
            for word in ("/" + "work/", "/" + "root/", "/home" + "/")
            if word in text
        ]
    assert wrong == []
