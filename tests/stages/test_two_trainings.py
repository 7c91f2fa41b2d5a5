"""Two trainings in one workspace, in two processes: the second is refused until the first ends."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib_singlelora.errors import ConflictError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

ROOT = Path(__file__).parents[2]


def test_of_two_trainings_at_once_one_trains_and_kill_9_lets_the_next_one_on(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    long = small(training__epochs=1000)
    words = ["train", "--workspace", str(eileen.root)]
    eileen.save_settings(long, standalone_host.checkpoint.path)
    child = subprocess.Popen(
        [sys.executable, "-m", "lib_singlelora", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not any(event["event"] == "step" for event in eileen.events.read()):
            assert child.poll() is None, child.communicate()
            time.sleep(0.05)
        before = {path: path.read_bytes() for path in (eileen.root / "log").glob("*.json")}
        with pytest.raises(ConflictError) as caught:
            run_stage("train", StageContext(small(training__epochs=1), eileen, standalone_host))
        assert f"found 'train' (process {child.pid}, since" in str(
            caught.value
        ) and "\n" not in str(caught.value)
        changed = {path.name for path, data in before.items() if path.read_bytes() != data}
        assert changed <= {"train.json"}  # the first one's own
        assert (
            eileen.change_settings(
                lambda saved: saved.with_values({"training.epochs": 1})
            ).training.epochs
            == 1
        )
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()
    made = run_stage("train", StageContext(small(training__epochs=1), eileen, standalone_host))
    assert [Path(path).name for path in made["loras"]] == ["eileen.safetensors"]
    # What the killed one was writing is gone
    assert not list(eileen.root.rglob(".singlelora-*.tmp"))
