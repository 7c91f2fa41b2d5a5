"""Without Optuna everything else works, and the words that need it say what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys(('optuna', 'sqlalchemy', 'matplotlib')));"
    " from lib_singlelora.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("sweep", "--workspace", "w", "--set", "training.rank=2,3"),
        ("batch", "examples"),
        ("worker", "--storage", "journal.log"),
    ],
)
def test_the_words_name_the_package(words: tuple[str, ...]) -> None:
    ended = call(*words)
    assert ended.returncode == 1
    assert "optuna" in ended.stderr and "pip install 'single-image-lora[sweep]'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_other_words_work() -> None:
    assert call("presets").returncode == 0
