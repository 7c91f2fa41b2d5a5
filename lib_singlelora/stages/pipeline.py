"""The whole job: the stages in their order, and what they give as one JSON object."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..host import Host
from ..jobs import Job, Progress
from ..settings.schema import Settings
from ..workspace.repeats import adopt_repeats, remember_repeats
from ..workspace.workspace import STAGES, Workspace
from .caption import caption
from .crop import crop
from .inpaint import inpaint
from .plot import plan, plot
from .prepare import prepare
from .regularize import regularize
from .train import train

Part = dict[str, Any]


def run_stage(
    stage: str,
    settings: Settings,
    workspace: Workspace,
    host: Host,
    job: Job,
    force: bool = False,
    picture: Path | None = None,
    mask: Path | None = None,
) -> Part:
    """Run one stage, holding the workspace; its part of the result, with absolute paths as strings
    and its seconds.

    Raises: ConflictError, when somebody else writes in the workspace; what the stage raises.
    """
    with workspace.writing(stage):
        job.events = workspace.events
        settings, sentences = _agreed(settings, workspace, job, stage)
        return _told(
            sentences, _run_stage(stage, settings, workspace, host, job, force, picture, mask)
        )


def _run_stage(
    stage: str,
    settings: Settings,
    workspace: Workspace,
    host: Host,
    job: Job,
    force: bool,
    picture: Path | None,
    mask: Path | None,
) -> Part:
    """One stage with settings that agree with the folders; the workspace is held."""
    started = time.monotonic()
    work: dict[str, Callable[[], Part]] = {
        "prepare": lambda: _prepare(settings, workspace, host, job, picture, force),
        "crop": lambda: _crop(settings, workspace, host, job, force),
        "caption": lambda: _caption(settings, workspace, host, job, force),
        "regularize": lambda: _regularize(settings, workspace, host, job, force),
        "train": lambda: _train(settings, workspace, host, job, force),
        "plot": lambda: _plot(settings, workspace, host, job, force),
        "inpaint": lambda: _inpaint(settings, workspace, host, job, force, picture, mask),
    }
    part = work[stage]()
    if workspace.own_folders(settings):
        remember_repeats(settings, workspace)
    return {
        "workspace": str(workspace.root),
        **part,
        "seconds": {stage: round(time.monotonic() - started, 2)},
    }


def run_all(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    job: Job,
    picture: Path | None = None,
    force: bool = False,
) -> Part:
    """Every stage in order, holding the workspace; one result.  Raises: as `run_stage`."""
    result: Part = {}
    seconds: dict[str, float] = {}
    job.events = workspace.events
    with workspace.writing("run"):
        # Once, so that every stage sees the same settings
        settings, sentences = _agreed(settings, workspace, job, STAGES[0])
        for stage in STAGES:
            job.raise_if_cancelled()
            source = picture if stage == "prepare" else None
            with workspace.writing(stage):
                part = _run_stage(stage, settings, workspace, host, job, force, source, None)
            seconds |= part.pop("seconds")
            result |= part
    return _told(sentences, {**result, "seconds": seconds})


def _told(sentences: list[str], result: Part) -> Part:
    """The result, with these sentences before its warnings."""
    if sentences:
        result["warnings"] = [*sentences, *result.get("warnings", ())]
    return result


def _agreed(
    settings: Settings, workspace: Workspace, job: Job, stage: str
) -> tuple[Settings, list[str]]:
    """The settings once folder and repeats agree, and what was done; told to log and listeners."""
    settings, sentences = adopt_repeats(settings, workspace)
    for sentence in sentences:
        job.log("folders", note=sentence)
        job.report(Progress(stage, 0, 1, sentence))
    return settings, sentences


def _texts(paths: tuple[Path, ...]) -> list[str]:
    return [str(path) for path in paths]


def _prepare(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    job: Job,
    picture: Path | None,
    force: bool,
) -> Part:
    made = prepare(settings, workspace, host, job, picture, force)
    return {
        "source": str(made.source),
        "mask": str(made.mask),
        "artifacts": str(made.artifacts) if made.artifacts else None,
        "mask_confidence": made.confidence,
        "notes": list(made.notes),
    }


def _crop(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool) -> Part:
    made = crop(settings, workspace, host, job, force)
    return {
        "crops": _texts(made.crops),
        "coverage": str(workspace.coverage) if workspace.coverage.exists() else None,
        "proposed_repeats": made.repeats,
        "crop_notes": list(made.notes),
    }


def _caption(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool) -> Part:
    made = caption(settings, workspace, host, job, force)
    traits = [{**asdict(trait), "shared": trait.shared} for trait in made.traits]
    return {
        "captions": {str(path): text for path, text in made.captions.items()},
        "kept": _texts(made.kept),
        "traits": traits,
    }


def _regularize(
    settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool
) -> Part:
    made = regularize(settings, workspace, host, job, force)
    return {
        "regularization": _texts(made.pictures),
        "regularization_notes": list(made.notes),
        "rejected": {str(path): list(found) for path, found in made.rejected.items()},
    }


def _train(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool) -> Part:
    made = train(settings, workspace, host, job, force)
    return {
        "loras": _texts(made.loras),
        "budget": made.budget,
        "memory": made.memory,
        "blocks": list(made.blocks),
        "warnings": list(made.warnings),
    }


def _plot(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool) -> Part:
    made = plot(settings, workspace, host, job, force)
    best = made.recommendation
    recommendation = {**asdict(best), "lora": str(best.lora)} if best else None
    return {"sheet": str(made.sheet), "page": str(made.page), "recommendation": recommendation}


def plan_plot(settings: Settings, workspace: Workspace, host: Host) -> Part:
    """What 'plot' would draw now: {"workspace", "pictures", "missing", "expected_seconds", "plan":
    in words}.
    """
    planned = plan(settings, workspace, host)
    return {
        "workspace": str(workspace.root),
        "pictures": planned.pictures,
        "missing": planned.missing,
        "expected_seconds": planned.seconds,
        "plan": planned.sentence,
    }


def _inpaint(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    job: Job,
    force: bool,
    image: Path | None,
    mask: Path | None,
) -> Part:
    made = inpaint(settings, workspace, host, job, image, mask, force)
    return {
        "inpainted": _texts(made.pictures),
        "inpaint_sheet": str(made.sheet),
        "inpaint_mask": str(made.mask) if made.mask else None,
        "inpaint_prompt": made.prompt,
        "inpaint_notes": list(made.notes),
    }
