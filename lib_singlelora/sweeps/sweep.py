"""A sweep: planned on a workspace, done by workers, ended with a table and a winner."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..errors import ConflictError, SettingsError
from ..files import writer_lock
from ..files.fileio import make_folder
from ..stages.context import StageContext
from ..stages.pipeline import run_stage
from ..stages.train_pictures import shows_the_class
from ..tagging.ensemble import open_taggers
from ..workspace.workspace import Workspace
from .checkpoint_check import check_checkpoint, checkpoint_entry
from .report import sweep_result
from .request import PlannedSweep, SweepRequest
from .search import direction_of, sampler_of
from .storage import JOURNAL, Storage, open_storage
from .trial import SweepPlan, TrialHandler
from .trial_folder import dataset_fingerprint
from .unit_queue import UnitQueue
from .worker import Handler, work

SWEEP = "sweep"  # kind of a plan
SWEEPS = "sweeps"  # folder in a workspace
PROBED = ("flexibility", "leak")


def storage_of(workspace: Workspace, request: SweepRequest, create: bool = True) -> Storage:
    """The storage of a sweep.  Raises: StorageError, MissingPackageError."""
    if request.storage:
        return open_storage(request.storage, create, request.heartbeat)
    folder = workspace.root / SWEEPS
    if create:
        make_folder(folder)
    return open_storage(str(folder / JOURNAL), create, request.heartbeat)


def begin_sweep(context: StageContext, planned: PlannedSweep) -> UnitQueue:
    """Make what the trials share, and queue them; called again it goes on with the same sweep.

    Raises: ConflictError, where crops, captions or settings are others now; CheckpointError;
        StorageError; what the stages raise.
    """
    workspace = context.workspace
    _check_judge(context, planned)
    storage = storage_of(workspace, planned.request)
    _shared_stages(context, planned)
    folder = workspace.root / SWEEPS / planned.name
    make_folder(folder)
    plan = {
        "kind": SWEEP,
        "checkpoint": checkpoint_entry(context.host),
        "workspace": storage.stored(workspace.root),
        "folder": storage.stored(folder),
        "settings": planned.settings.to_dict(),
        "dataset": dataset_fingerprint(workspace, planned.settings),
        "space": [parameter.as_dict() for parameter in planned.space],
        "objectives": list(planned.objectives),
        "sampler": planned.sampler,
        "pruner": planned.request.pruner,
        "seed": planned.request.seed,
    }
    with writer_lock.changing(workspace.root, "sweeps"):
        queue = UnitQueue.begin(
            storage,
            f"{workspace.root.name}/{planned.name}",
            plan,
            [direction_of(name) for name in planned.objectives],
            planned.objectives,
        )
        check_checkpoint(queue, context.host)
        _check_same(queue, plan)
        queue.add(planned.units)
    return queue


def _check_same(queue: UnitQueue, plan: dict[str, Any]) -> None:
    """Raises: ConflictError, where trials would not be comparable with those that are there."""
    parts = {"dataset": "pictures and captions", "settings": "settings", "space": "values to try"}
    for part, words in {**parts, "objectives": "objectives"}.items():
        if queue.plan[part] != plan[part]:
            raise ConflictError(
                f"{queue.name}: found other {words} than those the sweep was begun with, expected"
                " the same, so that its trials compare; begin another one with --name"
            )


def _check_judge(context: StageContext, planned: PlannedSweep) -> None:
    """Raises: SettingsError, for objectives that no sheet will have."""
    asked = [name for name in planned.objectives if name not in ("value", "damage", "copying")]
    tagger = open_taggers(planned.settings.caption, context.host, context.job)
    if asked and tagger is None:
        raise SettingsError(
            f"--objectives: found {', '.join(asked)}, which only a tagger sees, but no tagger;"
            " expected value, copying or damage, or a tagger (caption.tagger)"
        )
    if set(asked) & set(PROBED) and not planned.settings.judge.probes:
        raise SettingsError(
            f"--objectives: found {', '.join(asked)} with judge.probes=0, expected probes, which"
            " alone show them; set judge.probes to 1 or more"
        )


def _shared_stages(context: StageContext, planned: PlannedSweep) -> None:
    """Do what comes before training, where it is not done, with the workspace's own settings.

    A trial's repeats would rename a folder of the user's.
    """
    kind = "training.regularization"
    tried = [each.values for each in planned.space if each.name == kind]
    kinds = tried[0] if tried else (planned.settings.get(kind),)
    stages = ["prepare", "crop", "caption"]
    if any(shows_the_class(planned.settings.with_values({kind: each})) for each in kinds):
        stages.append("regularize")
    for stage in stages:
        run_stage(stage, context)


def run_sweep(queue: UnitQueue, context: StageContext, stay: bool = True) -> int:
    """Do trials until none is left; how many this process ended.  Raises: JobCancelled."""
    handler, sampler = trial_work(queue, context)
    return work(queue, handler, context.job, sampler, stay, after=show_progress)


def show_progress(queue: UnitQueue) -> None:
    """Write the table as it is now; pictures and preset wait for the end."""
    sweep_result(queue, drawing=False)


def trial_work(queue: UnitQueue, context: StageContext) -> tuple[Handler, Any]:
    """(what does a trial, what chooses its parameters)."""
    plan = SweepPlan.of(queue)
    return TrialHandler(queue, context.host), partial(sampler_of, plan.sampler, plan.seed)
