"""The command line's words for captions, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.caption import caption
from lib_singlelora.stages.context import StageContext
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import cropped, quiet_host

ROOT = Path(__file__).parents[2]


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lib_singlelora", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def refused(*words: object) -> str:
    result = call(*words)
    assert result.returncode == 1 and result.stdout == "" and "Traceback" not in result.stderr, (
        result.stderr
    )
    [line] = [line for line in result.stderr.splitlines() if line.startswith("singlelora: ")]
    return line


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings = Settings.from_dict(
        {
            "character": {"trigger": "isabella", "class_token": "girl"},
            "plot": {"steps": 1},
            "caption": {"tagger": "none"},
        }
    )
    workspace = cropped(tmp_path / "her folder", settings)
    caption(StageContext(settings, workspace, quiet_host(tmp_path)))
    return workspace


def test_tags_are_listed_changed_and_taken_back(workspace: Workspace) -> None:
    words = ("tags", "--workspace", workspace.root)
    listed = call(*words, "--json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["tags"]["girl"] == 3
    change = ("--add", "white dress", "--remove", "face focus", "--replace", "girl=woman")
    changed = json.loads(call(*words, *change, "--json").stdout)
    assert (
        len(changed["edited"]) == 3
        and changed["undoable"] == 1
        and changed["tags"]["white dress"] == 3
    )
    assert all(own["tokens"] <= 75 and own["beyond"] == "" for own in changed["captions"].values())
    assert (
        json.loads(call(*words, "--undo", "--json").stdout)["tags"]
        == json.loads(listed.stdout)["tags"]
    )
    assert "3  isabella" in call(*words).stdout


def test_mistakes_are_one_line_each(workspace: Workspace, tmp_path: Path) -> None:
    words = ("tags", "--workspace", workspace.root)
    assert "nothing to take back" not in refused(
        *words, "--undo"
    ) and "expected one by --add" in refused(*words, "--undo")
    assert "a comma" in refused(*words, "--add", "a, b")
    assert "OLD=NEW" in refused(*words, "--replace", "girl")
    assert "call twice" in refused(*words, "--undo", "--add", "hat")
    assert "start one with 'run'" in refused("tags", "--workspace", tmp_path / "none")


def test_a_trigger_is_checked_with_the_checkpoint(
    workspace: Workspace, small_checkpoint: Path
) -> None:
    pytest.importorskip("diffusers")
    words = ("trigger", "--workspace", workspace.root, "--checkpoint", small_checkpoint)
    result = call(*words, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (
        found["word"] == "isabella"
        and not found["free"]
        and found["tokens"] == 1
        and len(found["suggestions"]) == 4
    )
    assert len(found["pictures"]) == 4 and all(Path(path).is_file() for path in found["pictures"])
    assert set(found["departures"]) == {"trigger", "ordinary", "meaningless", "meaning"}
    text = call(*words).stdout
    assert text.startswith("isabella: 1 token; ") and "free words" in text
