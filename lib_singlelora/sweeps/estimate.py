"""How many trials a sweep has and how long they take, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..workspace.timing import in_words
from ..workspace.workspace import Workspace
from .request import PlannedSweep


@dataclass(frozen=True)
class SweepEstimate:
    """What a sweep costs at most; pruning makes it less.

    trials: their number.
    seconds: expected for all; None where this workspace was never trained and drawn.
    """

    trials: int
    seconds: float | None
    name: str
    space: tuple[str, ...]
    sampler: str

    @property
    def sentence(self) -> str:
        """In words."""
        duration = (
            "how long is told by the first one"
            if self.seconds is None
            else f"about {in_words(self.seconds)} at most"
        )
        return f"{self.trials} trials ({self.sampler}) of {'; '.join(self.space)}; {duration}"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "sweep": self.name,
            "trials": self.trials,
            "sampler": self.sampler,
            "expected_seconds": self.seconds,
            "plan": self.sentence,
        }


def estimate(planned: PlannedSweep, workspace: Workspace) -> SweepEstimate:
    """The cost of a planned sweep, by what the workspace's last training and sheet took."""
    seconds = seconds_of_a_trial(workspace)
    count = len(planned.units)
    return SweepEstimate(
        count,
        None if seconds is None else round(seconds * count, 1),
        planned.name,
        tuple(planned.words),
        planned.sampler,
    )


def seconds_of_a_trial(workspace: Workspace) -> float | None:
    """Seconds of the longest training and the longest sheet together; None while unknown.

    The longest, as a call that finds its work done or half done takes less.
    """
    taken: dict[str, float] = {}
    for event in workspace.events.read():
        stage = event.get("stage")
        seconds = event.get("seconds")
        if event["event"] == "stage_took" and isinstance(seconds, int | float):
            taken[str(stage)] = max(float(seconds), taken.get(str(stage), 0.0))
    known = [taken[stage] for stage in ("train", "plot") if stage in taken]
    return sum(known) if len(known) == 2 else None
