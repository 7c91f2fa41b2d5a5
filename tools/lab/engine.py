"""Runs what an experiment has not run yet; several processes may share a state folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lib_singlelora.errors import ConflictError, SettingsError
from lib_singlelora.files.fileio import fingerprint, write_json
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.library.epochs import epoch_files
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.stages.train_pictures import shows_the_class
from lib_singlelora.sweeps.storage import open_storage
from lib_singlelora.sweeps.unit_queue import Unit, UnitQueue
from lib_singlelora.sweeps.worker import work
from lib_singlelora.tagging.ensemble import open_taggers
from lib_singlelora.workspace.workspace import Workspace

from .experiment import Experiment, Run
from .measure import MEASURE, Bench


class Engine:
    """The trainings in one state folder.

    state: shared/ holds what trainings have in common, runs/ a workspace for each training,
        pictures/ what was drawn, results/ a JSON file for each training, units.log who does what.
    """

    def __init__(self, state: Path, host: StandaloneHost) -> None:
        self.state = state
        self.host = host

    def result(self, run: Run) -> Path:
        """Where the figures of a training lie."""
        return self.state / "results" / f"{run.key}.json"

    def run(self, experiment: Experiment, minutes: float) -> int:
        """Run what is missing, for so many minutes; the number of trainings that are left.

        Each training is a unit of work in units.log, which other processes share.
        """
        ends = time.monotonic() + 60 * minutes
        runs = {run.key: run for run in experiment.runs()}
        missing: dict[str, dict[str, Any]] = {
            key: {} for key, run in runs.items() if not self._measured(run, experiment.strengths)
        }
        if missing:
            queue = self._queue(experiment.name, missing)

            def measure(unit: Unit, job: Job) -> Sequence[float]:
                if unit.key not in runs:
                    raise SettingsError(f"{unit.key}: not in the experiment any more")
                self._alone(runs[unit.key], experiment.strengths)
                result = json.loads(self.result(runs[unit.key]).read_text(encoding="utf-8"))
                return [result["cpu_seconds"] or 0.0]

            work(queue, measure, Job(experiment.name), stay=False, until=ends)
            for key, state in queue.states().items():
                if key in missing and state.state == "failed":
                    print(f"{key}: {state.notes.get('error', 'its processes died')}", flush=True)
        return sum(not self._measured(run, experiment.strengths) for run in runs.values())

    def _queue(self, name: str, missing: dict[str, dict[str, Any]]) -> UnitQueue:
        """The experiment's units, those that are missing among them."""
        self.state.mkdir(parents=True, exist_ok=True)
        storage = open_storage(str(self.state / "units.log"), create=True)
        with FileLock(self.state / "units.lock"):
            queue = UnitQueue.begin(storage, name, {"kind": "lab"}, ("minimize",), ("CPU seconds",))
            queue.bury_the_dead()
            # A result may have been deleted, or be of an earlier measure
            queue.add(missing, again="ended")
        return queue

    def _alone(self, run: Run, strengths: tuple[float, ...]) -> None:
        """Do a training that no other process does, of another experiment or version either.

        Raises: ConflictError, where one does.
        """
        (self.state / "locks").mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.state / "locks" / run.key, timeout=0):
                self._one(run, strengths)
        except Timeout:
            raise ConflictError(f"{run.key}: another process has it") from None

    def _measured(self, run: Run, strengths: tuple[float, ...]) -> bool:
        path = self.result(run)
        if not path.exists():
            return False
        result = json.loads(path.read_text(encoding="utf-8"))
        known = result["strengths"] if result["measure"] == MEASURE else {}
        return all(f"{strength:g}" in known for strength in strengths)

    def _one(self, run: Run, strengths: tuple[float, ...]) -> None:
        if self._measured(run, strengths):  # by the process that held it
            return
        settings = run.recipe.settings(run.subject, run.seed)
        workspace = self._prepared(run, settings)
        job = Job(run.key)
        path = self.result(run)
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not before:
            before = self._trained(StageContext(settings, workspace, self.host, job))
        if before.get("measure") != MEASURE:
            before = {key: before[key] for key in ("cpu_seconds", "budget")}
        files = epoch_files(workspace, settings)
        tagger = open_taggers(settings.caption, self.host, job)
        if tagger is None:
            raise SystemExit("found no tagger, expected the embedded one")
        bench = Bench(self.host, tagger, self.state / "pictures" / run.subject.name)
        figures: dict[str, Any] = dict(before.get("strengths", {}))
        for strength in strengths:
            if f"{strength:g}" not in figures:
                figures[f"{strength:g}"] = bench.figures(
                    run.subject, workspace, settings, files[max(files)], strength
                )
        write_json(
            path,
            {
                "measure": MEASURE,
                "character": run.subject.name,
                "seed": run.seed,
                "settings": run.recipe.values,
                "budget": before["budget"],
                "cpu_seconds": before["cpu_seconds"],
                "without": before.get("without")
                or bench.figures(run.subject, workspace, settings, None, 0.0),
                "strengths": figures,
            },
        )
        shown = ", ".join(
            f"{at}: truth {one['truth']:.2f} flex {one['flexibility']:.2f} leak {one['leak']:.2f}"
            for at, one in figures.items()
        )
        print(f"{run.recipe.name:28} {run.key}: {before['cpu_seconds']} s; {shown}", flush=True)

    def _trained(self, context: StageContext) -> dict[str, Any]:
        """Train; its budget, and its CPU seconds unless it was resumed."""
        resumed = (context.workspace.snapshot / "state.pt").exists()
        started = time.process_time()
        result = run_stage("train", context)
        taken = round(time.process_time() - started, 1)
        return {"budget": result["budget"], "cpu_seconds": None if resumed else taken}

    def _prepared(self, run: Run, settings: Settings) -> Workspace:
        """The run's workspace, ready to be trained; prepared once for all of the same settings."""
        values = settings.to_dict()
        parts = ["prepare", "crop", "caption", "regularization"]
        classes = shows_the_class(settings)
        mark = fingerprint([values[part] for part in parts], classes, settings.training.repeats)[
            :10
        ]
        shared = self.state / "shared" / f"{run.subject.name}-{mark}"
        shared.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(shared) + ".lock"):
            workspace = Workspace(shared)
            picture = run.subject.picture(self.state / "sources")
            for stage in ("prepare", "crop", "caption", *(("regularize",) if classes else ())):
                run_stage(
                    stage,
                    StageContext(settings, workspace, self.host, Job(run.key)),
                    picture if stage == "prepare" else None,
                )
            target = self.state / "runs" / run.key
            if not (target / "log").exists():
                shutil.copytree(shared, target, dirs_exist_ok=True)
        return Workspace(target)
