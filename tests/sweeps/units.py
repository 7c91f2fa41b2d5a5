"""Small trainings as units of work, for workers in processes of their own.

    python -m tests.sweeps.units STORAGE CHECKPOINT FOLDER [dies]

Each unit trains a LoRA on the workspace FOLDER/eileen.  With `dies` the process kills itself in
the middle of its first training.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.sweeps.storage import open_storage
from lib_singlelora.sweeps.trial_folder import trial_workspace
from lib_singlelora.sweeps.unit_queue import Unit, UnitQueue
from lib_singlelora.sweeps.worker import work
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

NAME = "twelve"
COUNT = 12
DIES_AT = 6  # steps: in the second of two epochs


def values(key: str) -> dict[str, object]:
    number = int(key)
    return {"training.rank": 1 + number % 3, "training.seed": number, "training.epochs": 2}


class SmallTrainings:
    """Does units; dies: in the first one."""

    def __init__(self, checkpoint: Path, folder: Path, dies: bool) -> None:
        self.host = StandaloneHost(checkpoint, "cpu")
        self.folder = folder
        self.dies = dies

    def __call__(self, unit: Unit, job: Job) -> Sequence[float]:
        base = Workspace(self.folder / "eileen", create=False)
        settings = small(training__text_encoder_lr=0).with_values(values(unit.key))
        root = self.folder / f"eileen-{unit.key}"
        resumed = (root / "model" / "snapshot" / "state.pt").exists()
        trial = trial_workspace(base, root, settings, self.host.checkpoint.path)
        if self.dies:
            job.listen(self._die)
        latents = self.folder / "latents"
        run_stage("train", StageContext(settings, trial, self.host, job, latents=latents))
        unit.note("process", os.getpid())
        unit.note("resumed", resumed)
        return [float(unit.key)]

    def _die(self, progress: Progress) -> None:
        if progress.stage == "train" and progress.done >= DIES_AT and "loss" in progress.values:
            os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, checkpoint: str, folder: str, dies: str = "") -> None:
    torch.set_num_threads(1)
    storage = open_storage(url, interval=1)
    queue = UnitQueue(storage, NAME)
    done = work(queue, SmallTrainings(Path(checkpoint), Path(folder), bool(dies)), Job())
    print(done, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
