"""What a storage costs a trial: python -m tests.sweeps.overhead STORAGE WORKSPACE

Trials that train nothing: claimed, their folder made, three epochs reported and compared, a sheet
put among the artifacts, ended.  Prints seconds a trial, and how many of them the CPU worked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lib_singlelora.jobs import Job
from lib_singlelora.sweeps.optuna_package import load_optuna
from lib_singlelora.sweeps.search import Pruning, planned_units, sampler_of
from lib_singlelora.sweeps.space import read_space
from lib_singlelora.sweeps.storage import open_storage
from lib_singlelora.sweeps.trial_folder import trial_workspace
from lib_singlelora.sweeps.unit_queue import Unit, UnitQueue
from lib_singlelora.sweeps.worker import work
from lib_singlelora.workspace.workspace import Workspace

TRIALS = 40
EPOCHS = 3


def seconds_a_trial(url: str, base: Workspace) -> tuple[float, float]:
    """(seconds, CPU seconds) of the engine for each of `TRIALS` trials."""
    settings = base.load_settings()
    space, _ = read_space(["training.rank=2,4,8", "training.unet_lr=1e-4..2e-3:log"])
    artifacts = load_optuna().artifacts
    with tempfile.TemporaryDirectory(dir=base.root.parent) as folder:
        queue = UnitQueue.begin(open_storage(url, create=True), f"overhead {time.time()}", {})
        queue.add(planned_units(space, "random", TRIALS, settings_of(base)))
        pruning = Pruning("median", queue)
        store = artifacts.FileSystemArtifactStore(folder)

        def handler(unit: Unit, job: Job) -> Sequence[float]:
            values = {each.name: each.suggest(unit.trial) for each in space}
            root = Path(folder) / unit.key
            trial_workspace(base, root, settings.with_values(values), base.prepared)
            for epoch in range(1, EPOCHS + 1):
                unit.report(epoch, 0.5)
                pruning.gives_up(unit, EPOCHS)
            artifacts.upload_artifact(
                artifact_store=store, file_path=str(base.prepared), study_or_trial=unit.trial
            )
            return [values["training.unet_lr"]]

        started = (time.monotonic(), time.process_time())
        done = work(queue, handler, Job(), partial(sampler_of, "tpe", 0))
        return (time.monotonic() - started[0]) / done, (time.process_time() - started[1]) / done


def settings_of(base: Workspace) -> dict[str, object]:
    """What a search begins with."""
    settings = base.load_settings()
    return {name: settings.get(name) for name in ("training.rank", "training.unet_lr")}


if __name__ == "__main__":
    wall, cpu = seconds_a_trial(sys.argv[1], Workspace(sys.argv[2], create=False))
    print(f"{wall:.3f} s a trial, {cpu:.3f} s of the CPU")
