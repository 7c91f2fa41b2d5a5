"""From scores to an order: what no other cell beats in everything, and one number by weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

CRITERIA = ("retention", "flexibility", "copying", "leak", "damage")
LESS_IS_BETTER = frozenset(("copying", "leak", "damage"))

Key = TypeVar("Key")
Values = Mapping[str, float]


def goodness(scores: Values) -> dict[str, float]:
    """Each criterion so that more is better, 0 to 1."""
    return {
        name: 1 - scores[name] if name in LESS_IS_BETTER else scores[name]
        for name in CRITERIA
        if name in scores
    }


def weighted_score(scores: Values, weights: Values) -> float:
    """Weighted mean of what is known, 0 to 1."""
    good = goodness(scores)
    weight = sum(weights.get(name, 0.0) for name in good)
    return (
        sum(weights.get(name, 0.0) * value for name, value in good.items()) / weight
        if weight
        else 0.0
    )


def pareto_front(cells: Mapping[Key, Values], weights: Values) -> list[Key]:
    """The cells that no other one equals or beats in everything that both know and that counts (the
    Pareto front).
    """
    good = {
        key: {n: v for n, v in goodness(scores).items() if weights.get(n, 0.0) > 0}
        for key, scores in cells.items()
    }

    def beaten(own: Mapping[str, float], other: Mapping[str, float]) -> bool:
        both = own.keys() & other.keys()
        return all(other[n] >= own[n] for n in both) and any(other[n] > own[n] for n in both)

    return [
        key for key, own in good.items() if not any(beaten(own, other) for other in good.values())
    ]


def choose_spread(
    ordered: Sequence[Key], near: Mapping[Key, tuple[object, int, int]], count: int
) -> list[Key]:
    """The first `count` of an order, without neighbours as long as there are others.

    near: (group, row, column) of each; neighbours are of one group and at most one row and one
        column apart.
    """
    taken: list[Key] = []
    for wanted_far in (True, False):
        for key in ordered:
            if len(taken) >= count:
                return taken
            if key not in taken and not (
                wanted_far and any(_close(near[key], near[other]) for other in taken)
            ):
                taken.append(key)
    return taken


def _close(one: tuple[object, int, int], other: tuple[object, int, int]) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) <= 1 and abs(one[2] - other[2]) <= 1
