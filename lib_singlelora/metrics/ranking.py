"""From scores to an order: the Pareto front, a cell's worth, and the choice on the grid.

A sheet's table is a grid of cells: rows are epochs, columns strengths, in ascending order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

CRITERIA = ("retention", "flexibility", "copying", "leak", "damage")
LESS_IS_BETTER = frozenset(("copying", "leak", "damage"))
# Harm that costs nothing, 0 to 1.  Of what the checkpoint obeys a tenth may be lost.  A LoRA that
# draws the character in the source's framing and pose is near its crops, a crop itself is at 0.8
# and more.  At a leak of 0.5 a LoRA changes other prompts as much as another seed does.
TOLERATED = {"flexibility": 0.1, "copying": 0.6, "leak": 0.5, "damage": 0.0}

Key = TypeVar("Key")
Values = Mapping[str, float]
GridPosition = tuple[int, int]  # (row, column)
TablePosition = tuple[object, int, int]  # (table, row, column)
Gains = Mapping[TablePosition, tuple[float, float]]


def goodness(scores: Values) -> dict[str, float]:
    """Each criterion turned so that more is better, 0 to 1."""
    return {
        name: 1 - scores[name] if name in LESS_IS_BETTER else scores[name]
        for name in CRITERIA
        if name in scores
    }


def worth(scores: Values, weights: Values, base: float = 0.0) -> float:
    """What a cell is worth: 0 is the checkpoint alone, 1 is all of the character at no price.

    That is the gain in retention over the checkpoint's own, less the price of what goes beyond the
    tolerated (`price`).  Within the tolerated nothing is paid for being gentle: a mean of retention
    and of harm that is absent would reward a LoRA that does nothing, which obeys everything, copies
    nothing and leaks nothing.

    base: retention of the checkpoint alone.
    """
    kept = scores.get("retention", base)
    gain = (kept - base) / (1 - base) if base < 1 else 0.0
    return weights.get("retention", 0.0) * gain - price(scores, weights)


def price(scores: Values, weights: Values) -> float:
    """The weighted excess of harm over the tolerated; what is not known costs nothing."""
    return sum(
        weights.get(name, 0.0) * max(0.0, harm - TOLERATED[name]) / (1 - TOLERATED[name])
        for name, good in goodness(scores).items()
        if name in TOLERATED and (harm := 1 - good) > TOLERATED[name]
    )


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


def next_to_probe(
    values: Mapping[Key, float], prices: Mapping[Key, float], positions: Mapping[Key, TablePosition]
) -> Key | None:
    """The cell that promises most, of those that are not probed yet; None where there is none.

    A cell promises its value, less what it is expected to cost.  Neighbours of probed cells, at
    most one row and one column apart, are left for the end: they would tell little new.

    values: of every cell without what only probes show.
    prices: of the probed cells, by what the probes have shown.
    """
    rest = [key for key in values if key not in prices]
    far = [
        key
        for key in rest
        if not any(_are_neighbours(positions[key], positions[other]) for other in prices)
    ]
    return max(
        far or rest,
        key=lambda key: (
            values[key]
            - expected_price(positions[key], {positions[other]: prices[other] for other in prices})
        ),
        default=None,
    )


def expected_price(position: TablePosition, prices: Mapping[TablePosition, float]) -> float:
    """The price of the nearest probed cell of the table, halved with each step to a gentler one.

    prices: of the probed cells, by their positions.
    """
    table, row, column = position
    steps = {there: (row - there[1], column - there[2]) for there in prices if there[0] == table}
    if not steps:
        return 0.0
    nearest = min(steps, key=lambda there: sum(map(abs, steps[there])))
    down, right = steps[nearest]
    gentler = max(0, -down) + max(0, -right)
    return float(prices[nearest] * 0.5**gentler)


def expected_gain(position: TablePosition, strength: float, gains: Gains) -> float | None:
    """The gain in retention that the nearest probed cell lets expect; None where there is none.

    It grows as the strength does, up to 1: so it does with the benchmark's characters.  At
    strength 0 a cell is the checkpoint alone and gains nothing, and on the other side of 0 nothing
    is promised.  A cell of another table stands in where none of its own is probed.

    strength: of the cell.
    gains: (strength, gain) of the probed cells, by their positions.
    """
    nearest = nearest_gain(position, strength, gains)
    return None if nearest is None else min(1.0, gains[nearest[0]][1] * nearest[1])


def nearest_gain(
    position: TablePosition, strength: float, gains: Gains
) -> tuple[TablePosition, float] | None:
    """The probed cell that `expected_gain` goes by, and how many times its gain is expected."""
    table, row, column = position
    steps = {
        at: (at[0] != table, abs(row - at[1]) + abs(column - at[2]))
        for at, (known, _) in gains.items()
        if known != 0
    }
    if not steps:
        return None
    nearest = min(steps, key=lambda at: steps[at])
    return nearest, max(0.0, strength / gains[nearest][0])


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

    within: what a cell may lack of the best value.
    """
    if not values:
        return None
    best = max(values.values())
    good = [position for position, value in values.items() if value >= best - within]
    return min(good, key=lambda position: (sum(position), position[1], position[0]))
