"""From scores to an order: the Pareto front, one number by weights, and the choice on the grid.

A sheet's table is a grid of cells: rows are epochs, columns strengths, in ascending order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

CRITERIA = ("retention", "flexibility", "copying", "leak", "damage")
LESS_IS_BETTER = frozenset(("copying", "leak", "damage"))

Key = TypeVar("Key")
Values = Mapping[str, float]
GridPosition = tuple[int, int]  # (row, column)
TablePosition = tuple[object, int, int]  # (table, row, column)


def goodness(scores: Values) -> dict[str, float]:
    """Each criterion turned so that more is better, 0 to 1."""
    return {
        name: 1 - scores[name] if name in LESS_IS_BETTER else scores[name]
        for name in CRITERIA
        if name in scores
    }


def weighted_score(scores: Values, weights: Values) -> float:
    """Weighted mean of the scores that are known, 0 to 1."""
    good = goodness(scores)
    weight = sum(weights.get(name, 0.0) for name in good)
    if not weight:
        return 0.0
    return sum(weights.get(name, 0.0) * value for name, value in good.items()) / weight


def pareto_front(cells: Mapping[Key, Values], weights: Values) -> list[Key]:
    """The cells that no other one dominates.

    A cell dominates another that it equals or beats in every criterion known of both, and beats
    in one.  Criteria of weight 0 do not count.
    """
    good = {
        key: {n: v for n, v in goodness(scores).items() if weights.get(n, 0.0) > 0}
        for key, scores in cells.items()
    }

    def is_dominated(values: Values, other: Values) -> bool:
        both = values.keys() & other.keys()
        return all(other[n] >= values[n] for n in both) and any(other[n] > values[n] for n in both)

    return [
        key
        for key, values in good.items()
        if not any(is_dominated(values, other) for other in good.values())
    ]


def choose_spread(
    ordered: Sequence[Key], positions: Mapping[Key, TablePosition], count: int
) -> list[Key]:
    """The first `count` of an order, without neighbours as long as there are others.

    Neighbours are cells of one table, at most one row and one column apart.
    """
    chosen: list[Key] = []
    for allow_neighbours in (False, True):
        for key in ordered:
            if len(chosen) >= count:
                return chosen
            near = any(_are_neighbours(positions[key], positions[other]) for other in chosen)
            if key not in chosen and (allow_neighbours or not near):
                chosen.append(key)
    return chosen


def _are_neighbours(one: TablePosition, other: TablePosition) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) <= 1 and abs(one[2] - other[2]) <= 1


def smooth_scores(values: Mapping[GridPosition, float]) -> dict[GridPosition, float]:
    """Each cell's value averaged with its neighbours', which count half.

    One picture a cell is a noisy witness; the next epochs and strengths are further ones.
    """
    smooth = {}
    for (row, column), value in values.items():
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        near = [values[position] for position in around if position in values]
        smooth[(row, column)] = (value + 0.5 * sum(near)) / (1 + 0.5 * len(near))
    return smooth


def choose_gentlest(
    values: Mapping[GridPosition, float], within: float = 0.01
) -> GridPosition | None:
    """The cell nearest to the first epoch and the lowest strength of those that are good enough.

    within: the share of the best value that a cell may lack.
    """
    if not values:
        return None
    best = max(values.values())
    good = [position for position, value in values.items() if value >= best * (1 - within)]
    return min(good, key=lambda position: (sum(position), position[1], position[0]))
