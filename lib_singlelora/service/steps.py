"""The six steps of the page: what state each is in, and what it waits for or why it is stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..jobs import Ticket
from ..settings.schema import Settings
from ..workspace.asked import changes_since
from ..workspace.workspace import STAGES, Workspace
from .service import RUN, Service

# Step of the page -> its stages
STEPS: dict[str, tuple[str, ...]] = {
    "source": ("prepare",),
    "crops": ("crop",),
    "captions": ("caption",),
    "regularization": ("regularize",),
    "train": ("train",),
    "test": ("plot", "inpaint"),
}
STEP_OF = {stage: step for step, stages in STEPS.items() for stage in stages}
# Step -> the step that must be done before it
NEEDS = {"crops": "source", "captions": "crops", "train": "captions", "test": "train"}
# Step -> the steps whose results it uses
USES = {
    "crops": ("source",),
    "captions": ("crops",),
    "train": ("captions", "regularization"),
    "test": ("train",),
}


@dataclass(frozen=True)
class Step:
    """One step.

    state: empty (it needs something first), ready, begun (stopped midway), waiting (in the
        queue), running, done, stale, or skipped (this training needs none).
    stages: its stages and their states: "", "begun" or "done".
    needs: the step that must be done first, where it is empty.
    because: why it is stale: what changed since it was done, as `Change`.
    after: the earlier steps that are stale themselves.
    """

    name: str
    state: str
    stages: dict[str, str]
    needs: str = ""
    because: list[dict[str, str]] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def steps_of(service: Service, name: str) -> list[Step]:
    """The six steps of a workspace, in their order.  Raises: WorkspaceError."""
    workspace = service.workspace(name)
    settings = service.settings(name)
    at_work = _at_work(service.runner.tickets, name)
    steps: dict[str, Step] = {}
    for step, stages in STEPS.items():
        steps[step] = _step(step, stages, settings, workspace, steps, at_work)
    return list(steps.values())


def _step(
    name: str,
    stages: Sequence[str],
    settings: Settings,
    workspace: Workspace,
    before: dict[str, Step],
    at_work: dict[str, str],
) -> Step:
    records = {stage: workspace.record(stage) for stage in stages}
    told = {
        stage: "done" if record.complete else "begun" if record.fingerprint else ""
        for stage, record in records.items()
    }
    if name in at_work:
        return Step(name, at_work[name], told)
    is_done = told[stages[0]] == "done"
    if name == "regularization" and settings.class_unshown() and not is_done:
        return Step(name, "skipped", told)
    if is_done:
        because = [
            asdict(change)
            for stage in stages
            if told[stage] == "done"
            for change in changes_since(workspace, settings, stage)
        ]
        after = [step for step in USES.get(name, ()) if before[step].state == "stale"]
        return Step(name, "stale" if because or after else "done", told, "", because, after)
    needs = NEEDS.get(name, "")
    if needs and "done" not in before[needs].stages.values():
        return Step(name, "empty", told, needs)
    return Step(name, "begun" if "begun" in told.values() else "ready", told)


def _at_work(tickets: Sequence[Ticket[Any]], name: str) -> dict[str, str]:
    """Step -> "running" or "waiting", of the jobs on a workspace."""
    found: dict[str, str] = {}
    for ticket in tickets:
        workspace, word = workspace_and_word(ticket)
        state = ticket.job.state
        if workspace != name or state not in ("running", "waiting"):
            continue
        stage = ticket.job.view().progress.stage or word
        if state == "running":
            step = STEP_OF.get(stage) or STEP_OF.get(word)
            if step is None and word == RUN:
                step = STEP_OF[STAGES[0]]
        else:
            step = STEP_OF.get(word)
        if step:
            found.setdefault(step, state)
    return found


def workspace_and_word(ticket: Ticket[Any]) -> tuple[str, str]:
    """Of a job's title 'isabella: train' the two parts."""
    name, _, word = ticket.job.title.rpartition(":")
    return name, word.strip()
