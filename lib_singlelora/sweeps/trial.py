"""One trial of a sweep: trained with its own settings, pruned by the epoch, judged by its sheet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError, StorageError
from ..files.fileio import make_folder, read_json
from ..host import Host
from ..jobs import Job
from ..judge.scale import criterion_weights
from ..metrics.ranking import CRITERIA, worth
from ..settings.schema import Settings
from ..stages.context import StageContext
from ..stages.pipeline import run_stage
from ..stages.plot_cells import SheetCells
from ..stages.plot_plan import read_plan
from ..workspace.recommendation import Recommendation, saved_recommendation
from ..workspace.workspace import Workspace
from .checkpoint_check import check_checkpoint
from .optuna_package import load_optuna
from .search import VALUE, Pruning
from .space import Parameter
from .trial_folder import trial_workspace
from .unit_queue import Unit, UnitQueue
from .worker import Pruned

ARTIFACTS = "artifacts"  # what optuna-dashboard shows
LATENTS = "latents"
MOST_PICTURES = 2  # of a trial, beside other trials'


@dataclass(frozen=True)
class SweepPlan:
    """What the trials of a sweep have in common.

    workspace: the character's folder.
    folder: of the sweep.
    settings: those of every trial, before its own.
    space: what varies.
    objectives: what a trial is judged by, of `search.OBJECTIVES`.
    sampler, pruner: of `search.SAMPLERS` and `search.PRUNERS`.
    seed: of the search.
    """

    workspace: Path
    folder: Path
    settings: Settings
    space: tuple[Parameter, ...]
    objectives: tuple[str, ...]
    sampler: str
    pruner: str
    seed: int

    @classmethod
    def of(cls, queue: UnitQueue) -> SweepPlan:
        """The plan in a storage.  Raises: StorageError, where its folder is not on this machine."""
        plan = queue.plan
        folder, workspace = (queue.storage.real(plan[name]) for name in ("folder", "workspace"))
        for path in (workspace, folder):
            if not path.is_dir():
                raise StorageError(
                    f"{path}: found no such folder, expected that of {queue.name!r}: characters'"
                    " folders must be at the same place for every worker; mount them there"
                )
        return cls(
            workspace,
            folder,
            Settings.from_dict(plan["settings"]),
            tuple(map(Parameter.from_dict, plan["space"])),
            tuple(plan["objectives"]),
            plan["sampler"],
            plan["pruner"],
            plan["seed"],
        )

    def trial_folder(self, key: str) -> Path:
        """A trial's workspace; its name is also that of its LoRAs in a WebUI, so it says whose."""
        return self.folder / f"{self.workspace.name}-{self.folder.name}-{key}"


class TrialHandler:
    """Does the trials of one sweep on one host.

    Raises: CheckpointError, for a host with another checkpoint than the sweep's.
    """

    def __init__(self, queue: UnitQueue, host: Host) -> None:
        check_checkpoint(queue, host)
        self.queue = queue
        self.plan = SweepPlan.of(queue)
        self.host = host
        self._pruning = Pruning(self.plan.pruner, queue)

    def __call__(self, unit: Unit, job: Job) -> Sequence[float]:
        """Train and judge; the objectives.  Raises: Pruned; what the stages raise."""
        values = {each.name: each.suggest(unit.trial) for each in self.plan.space}
        settings = self.plan.settings.with_values(values)
        root = self.plan.trial_folder(unit.key)
        base = Workspace(self.plan.workspace, create=False)
        trial = trial_workspace(base, root, settings, self.host.checkpoint.path)
        unit.note("folder", root.name)
        unit.note("settings", values)
        with trial.writing("sweep"):
            context = StageContext(
                settings,
                trial,
                self.host,
                job,
                latents=self.plan.folder / LATENTS,
                on_epoch=None if self.plan.pruner == "none" else self._watch(unit, settings),
            )
            try:
                run_stage("train", context)
                run_stage("plot", context)
            except Pruned:
                shutil.rmtree(trial.snapshot, ignore_errors=True)
                raise
            # What only resuming needs is the largest part of a trial
            shutil.rmtree(trial.snapshot, ignore_errors=True)
        return self._judged(unit, context)

    def _watch(self, unit: Unit, settings: Settings) -> Any:
        """What is called with each epoch's probes."""
        weights = criterion_weights(settings.judge)

        def on_epoch(epoch: int, probes: Mapping[str, float]) -> None:
            if not probes:  # a picture that could not be drawn
                return
            unit.report(epoch, round(worth(probes, weights), 4))
            epochs = settings.training.epochs
            if epoch < epochs and self._pruning.gives_up(unit, epochs):
                raise Pruned

        return on_epoch

    def _judged(self, unit: Unit, context: StageContext) -> Sequence[float]:
        figures = figures_of(context.workspace)
        unit.note("figures", figures)
        best = saved_recommendation(context.workspace)
        if best is not None:
            unit.note("reason", best.reason)
            unit.note("best", {"epoch": best.epoch, "strength": best.strength})
            unit.note("pictures", recommended_pictures(context, best))
        self._show(unit, context.workspace.plots / "sheet.png")
        missing = [name for name in self.plan.objectives if name not in figures]
        if missing:
            raise SettingsError(
                f"--objectives: found none of {', '.join(missing)} on this sheet, expected them of"
                " the recommended cell; they need a tagger and judge.probes"
            )
        return [figures[name] for name in self.plan.objectives]

    def _show(self, unit: Unit, sheet: Path) -> None:
        """Make the sheet an artifact of the trial."""
        artifacts = load_optuna().artifacts
        folder = self.plan.folder / ARTIFACTS
        make_folder(folder)
        artifacts.upload_artifact(
            artifact_store=artifacts.FileSystemArtifactStore(folder),
            file_path=str(sheet),
            study_or_trial=unit.trial,
        )


def figures_of(workspace: Workspace) -> dict[str, float]:
    """The judge's figures of the recommended cell, `value` first.

    Without a tagger its value is the share of the source's colours, which trials can be compared
    by; the judge's own is then relative to each sheet.
    """
    scores = read_json(workspace.plots / "scores.json")
    rows = [row for row in scores["cells"] if row["recommended"]]
    if not rows:
        return {}
    [row] = rows[:1]
    value = row["value"] if scores["tagger"] and row["value"] is not None else row["colours"]
    known = {name: row["scores"][name] for name in CRITERIA if name in row["scores"]}
    return {VALUE: round(float(value), 4), **known}


def recommended_pictures(context: StageContext, best: Recommendation) -> list[str]:
    """At most `MOST_PICTURES` pictures of the recommended cell, relative to the workspace."""
    workspace = context.workspace
    cells = SheetCells.of(
        read_plan(context.settings, workspace, context.host), workspace, context.host
    )
    for place in cells.layout.places:
        is_it = place.source.is_epoch and not place.refine and place.seed is None
        wanted = (best.epoch, best.strength, best.preset, best.prompt)
        if is_it and (place.source.number, place.strength, place.preset, place.prompt) == wanted:
            files = [path for path in cells.files[place].values() if path.exists()]
            return [path.relative_to(workspace.root).as_posix() for path in files[:MOST_PICTURES]]
    return []
