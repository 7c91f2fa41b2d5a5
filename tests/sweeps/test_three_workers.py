"""Three workers on one storage, one of them killed in a training: nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("optuna", reason="sweeps need optuna: pip install 'single-image-lora[sweep]'")

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.sweeps.storage import JOURNAL, open_storage
from lib_singlelora.sweeps.trial_folder import trial_workspace
from lib_singlelora.sweeps.unit_queue import UnitQueue
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small
from tests.sweeps.units import COUNT, NAME, values

ROOT = Path(__file__).parents[2]
# As the command line sets it: a resumed training is exact only so
EXACT = {"OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO"}


@pytest.mark.slow  # the same twelve trainings for each storage, which is the point
@pytest.mark.timeout(400)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_twelve_units_end_once_each_though_a_worker_is_killed(
    kind: str, cropped: Workspace, standalone_host: StandaloneHost, request: pytest.FixtureRequest
) -> None:
    folder = cropped.root.parent
    url = str(folder / JOURNAL) if kind == "journal" else request.getfixturevalue("postgresql")
    queue = UnitQueue.begin(open_storage(url, create=True, interval=1), NAME, {"kind": "test"})
    assert queue.add({f"{number:04d}": {} for number in range(COUNT)}) == COUNT
    checkpoint = str(standalone_host.checkpoint.path)
    words = [sys.executable, "-m", "tests.sweeps.units", url, checkpoint, str(folder)]
    workers = [
        subprocess.Popen(
            [*words, *extra],
            cwd=ROOT,
            env={**os.environ, **EXACT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for extra in (["dies"], [], [])
    ]
    try:
        outputs = [worker.communicate(timeout=380) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, 0, 0], outputs
    assert queue.is_done
    trials = queue._trials()
    ended = [trial.user_attrs["key"] for trial in trials if trial.state.name == "COMPLETE"]
    assert Counter(ended) == Counter(f"{number:04d}" for number in range(COUNT))
    [killed] = [trial.user_attrs["key"] for trial in trials if trial.state.name == "FAIL"]
    assert queue.states()[killed].notes["resumed"]
    undisturbed_equals(killed, cropped, StandaloneHost(standalone_host.checkpoint.path))


def undisturbed_equals(key: str, base: Workspace, host: StandaloneHost) -> None:
    """The unit's LoRAs are bit for bit those of a training that nobody interrupted.

    host: one that no other test has changed, as in the workers.
    """
    settings = small(training__text_encoder_lr=0).with_values(values(key))
    root = base.root.parent / "undisturbed" / f"eileen-{key}"
    workspace = trial_workspace(base, root, settings, host.checkpoint.path)
    run_stage("train", StageContext(settings, workspace, host))
    files = sorted(workspace.models.glob("*.safetensors"))
    assert len(files) == settings.training.epochs
    for file in files:
        expected = load_file(file)
        found = load_file(base.root.parent / f"eileen-{key}" / "model" / file.name)
        assert all(torch.equal(expected[name], found[name]) for name in expected), file.name
