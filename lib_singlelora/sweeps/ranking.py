"""The trials of a sweep in the order of their worth, and the winner."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.ranking import LESS_IS_BETTER
from .search import VALUE
from .space import Parameter
from .trial import SweepPlan
from .unit_queue import UnitQueue, UnitState


@dataclass(frozen=True)
class Ranking:
    """The trials that ran to their end.

    ordered: best first; with several objectives those of the front first.
    front: keys of those that none beats in every objective.
    """

    ordered: Sequence[UnitState]
    front: frozenset[str]

    @property
    def winner(self) -> UnitState | None:
        """The best trial; with several objectives the front's best by the judge's own value."""
        return self.ordered[0] if self.ordered else None


def rank(queue: UnitQueue, plan: SweepPlan) -> Ranking:
    """The ranking as it is now."""
    done = [state for state in queue.states().values() if state.state == "complete"]
    goods = {state.key: goodness_of(state, plan.objectives) for state in done}
    front = {key for key, own in goods.items() if not any(_beats(o, own) for o in goods.values())}

    def order(state: UnitState) -> tuple[bool, float]:
        value = state.notes.get("figures", {}).get(VALUE, 0.0)
        first = goods[state.key][0] if len(plan.objectives) == 1 else value
        return (state.key in front, first)

    return Ranking(sorted(done, key=order, reverse=True), frozenset(front))


def goodness_of(state: UnitState, objectives: Sequence[str]) -> tuple[float, ...]:
    """A trial's objectives, turned so that more is better."""
    pairs = zip(objectives, state.values, strict=True)
    return tuple(-value if name in LESS_IS_BETTER else value for name, value in pairs)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def reasons(
    ranking: Ranking, space: Sequence[Parameter], objectives: Sequence[str]
) -> dict[str, str]:
    """Why each setting of the winner has its value: what the trials gave with it and with others.

    Keys are dotted names.
    """
    winner = ranking.winner
    if winner is None:
        return {}
    name = objectives[0] if len(objectives) == 1 else VALUE
    return {each.name: _reason(ranking.ordered, winner, each, name) for each in space}


def _reason(states: Sequence[UnitState], winner: UnitState, parameter: Parameter, name: str) -> str:
    groups: dict[Any, list[float]] = {}
    for state in states:
        figure = state.notes.get("figures", {}).get(name)
        chosen = state.notes.get("settings", {}).get(parameter.name)
        if figure is not None:
            groups.setdefault(chosen, []).append(figure)
    own = winner.notes["settings"][parameter.name]
    if not parameter.values:
        tried = [value for value in groups if value is not None]
        return (
            f"of {len(tried)} values from {min(tried):g} to {max(tried):g} the one of the best"
            f" trial, {winner.key}"
        )
    told = [
        f"{value}: {statistics.fmean(found):.3f} in {len(found)}"
        for value, found in sorted(groups.items(), key=lambda pair: str(pair[0]))
    ]
    return f"{own} in the best trial, {winner.key}; mean {name} by value, of trials: " + (
        "; ".join(told)
    )


def saved_by_pruning(queue: UnitQueue, plan: SweepPlan) -> Mapping[str, float]:
    """pruned: trials; epochs: those not trained; seconds: what they would have taken, estimated."""
    states = list(queue.states().values())
    pruned = [state for state in states if state.state == "pruned"]
    complete = [state.notes["seconds"] for state in states if state.state == "complete"]
    epochs = 0
    for state in pruned:
        settings = plan.settings.with_values(state.notes.get("settings", {}))
        epochs += settings.training.epochs - max(state.epochs, default=0)
    spent = sum(state.notes.get("seconds", 0.0) for state in pruned)
    usual = statistics.median(complete) * len(pruned) if complete else 0.0
    return {"pruned": len(pruned), "epochs": epochs, "seconds": round(max(0.0, usual - spent), 1)}
