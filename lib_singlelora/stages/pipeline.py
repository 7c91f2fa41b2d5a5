"""The whole job: the stages in their order, and what they give as one JSON object."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ..jobs import Progress
from ..workspace.asked import remember_asked
from ..workspace.repeats import adopt_repeats, remember_repeats
from ..workspace.workspace import STAGES
from .caption import caption
from .context import StageContext
from .crop import crop
from .inpaint import inpaint
from .plot import plan, plot
from .prepare import prepare
from .regularize import regularize, regularize_for_training
from .train import train

Part = dict[str, Any]


class StageResult(Protocol):
    """The result of a stage."""

    def as_dict(self) -> Part:
        """Its part of the JSON object; paths are absolute, as strings."""


PlainStage = Callable[[StageContext], StageResult]
# Those that take nothing but their context
PLAIN_STAGES: dict[str, PlainStage] = {
    "crop": crop,
    "caption": caption,
    "regularize": regularize,
    "train": train,
    "plot": plot,
}
# As part of the whole job, where a later stage says what an earlier one need not do
WHOLE_JOB = {**PLAIN_STAGES, "regularize": regularize_for_training}


def run_stage(
    stage: str, context: StageContext, picture: Path | None = None, mask: Path | None = None
) -> Part:
    """Run one stage, holding the workspace; its part of the result, with its seconds.

    picture: for `prepare` the source, for `inpaint` the picture to redraw.
    mask: for `inpaint`.
    Raises: ConflictError, when somebody else writes in the workspace; what the stage raises.
    """
    with context.workspace.writing(stage):
        context, notes = _begin(context, stage)
        return _with_warnings(notes, _run(stage, context, PLAIN_STAGES, picture, mask))


def run_all(context: StageContext, picture: Path | None = None, until: str = "") -> Part:
    """Every stage in order, holding the workspace; one result.

    until: the last one; '' for all.
    Raises: as `run_stage`.
    """
    stages = STAGES[: STAGES.index(until) + 1] if until else STAGES
    result: Part = {}
    seconds: dict[str, float] = {}
    with context.workspace.writing("run"):
        context, notes = _begin(context, STAGES[0])
        for stage in stages:
            context.job.raise_if_cancelled()
            with context.workspace.writing(stage):
                given = picture if stage == "prepare" else None
                part = _run(stage, context, WHOLE_JOB, given, None)
            seconds |= part.pop("seconds")
            result |= part
    return _with_warnings(notes, {**result, "seconds": seconds})


def plan_plot(context: StageContext) -> Part:
    """An estimate of `plot`; draws nothing.  Raises: as `plot`."""
    return {"workspace": str(context.workspace.root), **plan(context).as_dict()}


def _begin(context: StageContext, stage: str) -> tuple[StageContext, list[str]]:
    """The context once folder and `training.repeats` agree, and what was changed for that.

    Called once when a job begins, so that every stage sees the same settings.
    """
    job = context.job
    job.events = context.workspace.events
    settings, notes = adopt_repeats(context.settings, context.workspace)
    for note in notes:
        job.log("folders", note=note)
        job.report(Progress(stage, 0, 1, note))
    return context.with_settings(settings), notes


def _run(
    stage: str,
    context: StageContext,
    plain: Mapping[str, PlainStage],
    picture: Path | None,
    mask: Path | None,
) -> Part:
    """One stage after `_begin`; the workspace is held.

    plain: the stages that take nothing but their context.
    """
    started = time.monotonic()
    result: StageResult
    if stage == "prepare":
        result = prepare(context, picture)
    elif stage == "inpaint":
        result = inpaint(context, picture, mask)
    else:
        result = plain[stage](context)
    if context.workspace.own_folders(context.settings):
        remember_repeats(context.settings, context.workspace)
    remember_asked(context.workspace, context.settings, stage)
    seconds = round(time.monotonic() - started, 2)
    context.job.log("stage_took", stage=stage, seconds=seconds)
    return {
        "workspace": str(context.workspace.root),
        **result.as_dict(),
        "seconds": {stage: seconds},
    }


def _with_warnings(notes: list[str], result: Part) -> Part:
    """The result, with these notes before its warnings."""
    if notes:
        result["warnings"] = [*notes, *result.get("warnings", ())]
    return result
