"""What a job will do, before it is asked for: pictures, steps, time, preset and why."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import median
from typing import Any

from ..errors import SingleLoraError
from ..settings.schema import Settings
from ..workspace.kohya_folders import list_pictures
from ..workspace.timing import seconds_per_picture
from ..workspace.workspace import STAGES, Workspace
from .lora_files import LoraFilesService
from .service import Service
from .steps import STEP_OF, Step, steps_of


@dataclass(frozen=True)
class StageForecast:
    """What one stage of the whole job will do.

    does: "nothing" (it is done), "goes on", "does", "does again" or "skips".
    pictures: that it draws or cuts; None where that is known only later.
    steps: of the training.
    seconds: None while nothing like it was measured on this machine.
    """

    stage: str
    does: str
    pictures: int | None = None
    steps: int | None = None
    seconds: float | None = None


def forecast(service: Service, name: str) -> dict[str, Any]:
    """What 'run' would do now; the keys are part of the HTTP API.

    Raises: WorkspaceError.
    """
    workspace = service.workspace(name)
    settings, preset = service.settings_and_preset(name)
    steps = {step.name: step for step in steps_of(service, name)}
    measured = [
        service.workspace(other) for other in sorted(service.names(), key=lambda each: each != name)
    ]
    stages = [_stage(service, settings, workspace, measured, steps, stage) for stage in STAGES]
    known = [stage.seconds for stage in stages if stage.does not in ("nothing", "skips")]
    return {
        "stages": [asdict(stage) for stage in stages],
        "seconds": sum(each for each in known if each is not None),
        "seconds_known": all(
            stage.seconds is not None
            for stage in stages
            if stage.stage in ("regularize", "train", "plot")
            and stage.does not in ("nothing", "skips")
        ),
        "training": _training(settings, workspace, measured),
        "preset": preset.as_dict(),
    }


def _stage(
    service: Service,
    settings: Settings,
    workspace: Workspace,
    measured: Iterable[Workspace],
    steps: dict[str, Step],
    stage: str,
) -> StageForecast:
    step = steps[STEP_OF[stage]]
    does = _does(step, stage)
    if does in ("nothing", "skips"):
        return StageForecast(stage, does)
    pace = _pace(service, settings, measured, stage)
    if stage == "regularize":
        count = settings.regularization.count
        missing = max(0, count - len(list_pictures(workspace.reg_folder(settings))))
        pictures = count if does == "does again" else missing
        return StageForecast(stage, does, pictures, None, pace and round(pace * pictures, 1))
    if stage == "train":
        number = training_steps(settings, workspace)
        seconds = seconds_per_step(measured)
        return StageForecast(
            stage, does, None, number, None if seconds is None else round(seconds * number, 1)
        )
    if stage == "plot":
        pictures = _sheet_pictures(service, settings, workspace.root.name)
        return StageForecast(stage, does, pictures, None, pace and round(pace * pictures, 1))
    if stage == "inpaint":
        pictures = settings.inpaint.count
        return StageForecast(stage, does, pictures, None, pace and round(pace * pictures, 1))
    return StageForecast(stage, does)


def _does(step: Step, stage: str) -> str:
    if step.state == "skipped":
        return "skips"
    state = step.stages[stage]
    if state == "done":
        return "does again" if step.state == "stale" else "nothing"
    return "goes on" if state == "begun" else "does"


def training_steps(settings: Settings, workspace: Workspace) -> int:
    """Optimizer steps of the whole training, as nearly as it can be told before it.

    Crops that are not cut yet are taken to be eight.
    """
    # Late, as in `service.py`: these import torch.
    from ..stages.train_pictures import character_samples
    from ..training.epoch_plan import class_samples

    options = settings.training
    of_all = character_samples(settings, workspace)
    samples = of_all // max(1, options.epochs) or 8 * options.repeats
    has_class = settings.regularization.count or settings.regularization.as_used
    if not settings.class_unshown() and (
        has_class or list_pictures(workspace.reg_folder(settings))
    ):
        samples += class_samples(samples, options.class_share)
    an_epoch = math.ceil(samples / options.batch_size / options.gradient_accumulation)
    return an_epoch * options.epochs


def _training(
    settings: Settings, workspace: Workspace, measured: Iterable[Workspace]
) -> dict[str, Any]:
    """Samples, steps and epochs of the whole training, its seconds or None."""
    steps = training_steps(settings, workspace)
    seconds = seconds_per_step(measured)
    options = settings.training
    return {
        "samples": steps * options.batch_size * options.gradient_accumulation,
        "steps": steps,
        "epochs": options.epochs,
        "seconds": None if seconds is None else round(seconds * steps, 1),
    }


def seconds_per_step(measured: Iterable[Workspace]) -> float | None:
    """Seconds of a training step, of the first measured training; None without one."""
    told = (pace_of_training(workspace) for workspace in measured)
    return next((seconds for seconds in told if seconds is not None), None)


def _pace(
    service: Service, settings: Settings, measured: Iterable[Workspace], stage: str
) -> float | None:
    """Seconds of a picture of this stage; None where none was drawn with this checkpoint."""
    steps = {
        "regularize": settings.regularization.steps,
        "plot": settings.plot.steps,
        "inpaint": settings.inpaint.steps,
    }.get(stage)
    if steps is None:
        return None
    try:
        side = service.host.checkpoint.native_size
        for workspace in measured:
            seconds = seconds_per_picture(workspace, service.host, (side, side), steps)
            if seconds is not None:
                return seconds
    except SingleLoraError:
        return None  # the host has no checkpoint now; the job will say so
    return None


def _sheet_pictures(service: Service, settings: Settings, name: str) -> int:
    """Pictures of the sheet: as its own plan has it, else as the settings have it."""
    try:
        plan = LoraFilesService(service).plan(name)
        return int(plan["missing"]) + int(plan["race"])
    except SingleLoraError:
        pass  # nothing is trained yet
    options = settings.plot
    seeds = options.seeds
    a_cell = seeds[0] if len(seeds) == 1 else max(1, len(seeds))
    rows = settings.training.epochs if options.epochs == "all" else options.epochs.count(",") + 1
    cells = rows * max(1, len(options.strengths)) * max(1, len(options.presets))
    if settings.judge.race and settings.judge.budget and cells > 4:
        cells = math.ceil(cells / 4) if settings.judge.coarse and rows > 4 else cells
        return cells * a_cell + settings.judge.budget
    return cells * a_cell


def pace_of_training(workspace: Workspace) -> float | None:
    """Seconds of a step of the last training; None where none was measured."""
    try:
        status = workspace.events.path.stat()
    except OSError:
        return None
    return _pace_of_training(workspace, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _pace_of_training(workspace: Workspace, changed: int, size: int) -> float | None:
    seconds = [
        float(event["seconds"])
        for event in workspace.events.read()
        if event.get("event") == "step" and isinstance(event.get("seconds"), int | float)
    ][-50:]
    return median(seconds) if len(seconds) > 1 else None
