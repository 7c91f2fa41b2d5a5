"""A race of cells: further pictures go to those that may still be the best, round by round.

Successive halving (Karnin, Koren and Somekh 2013, "Almost Optimal Exploration in Multi-Armed
Bandits"): every round costs about the same and is run by half as many cells.  Who runs is decided
by the chances of `metrics.posterior`, and the race ends as soon as the best is known with the
wanted confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.posterior import (
    Floats,
    Observation,
    chance_of_nearly_best,
    chances_of_best,
    draw_worths,
    likeness_of_cells,
)

Key = tuple[int, int]  # (number of the cell, number of the seed)
ROUNDS = 3  # into which the budget is divided; what is left over runs on
WIDEST = 8  # cells in the first round
LEAST = 2  # pictures that a cell has before it is called the best
MARGIN = 0.02  # of worth; a cell that lacks less of the best is as good


@dataclass(frozen=True)
class Outlook:
    """What is known of cells beside their own pictures, a number for each.

    prices: taken from what they are worth.
    shares: of their worth that their pictures do not decide, 0 to 1.
    added: to the rest of their worth in its place.
    doubts: (n, m), how far what is added may lie beside, by m causes that have nothing to do with
        each other: a standard deviation for each; None takes it as sure.
    """

    prices: Floats
    shares: Floats | float = 0.0
    added: Floats | float = 0.0
    doubts: Floats | None = None

    def worths(self, own: Floats) -> Floats:
        """What the cells are worth in all, the same for the same numbers.

        own: (draws, n), by their pictures.
        """
        worths = own * (1 - self.shares) + self.added - self.prices
        if self.doubts is None:
            return worths
        chance = np.random.default_rng(2).standard_normal((len(own), self.doubts.shape[1]))
        # Doubt widens what a cell may be worth and moves no mean: it chooses no other leader.
        beside: Floats = (chance - chance.mean(axis=0)) @ self.doubts.T
        return worths + beside


@dataclass(frozen=True)
class Standings:
    """What the race knows of its cells.

    worths: (draws, n), as `draw_worths` gives them, with what is known beside the pictures.
    leader: number of the cell that is worth most.
    confidence: chance that no cell is better by more than MARGIN, 0 to 1.
    chances: of each cell, to be the best.
    """

    worths: Floats
    leader: int
    confidence: float
    chances: Floats

    @classmethod
    def of(cls, worths: Floats) -> Standings:
        """The standings by these draws."""
        leader = int(worths.mean(axis=0).argmax())
        return cls(
            worths, leader, chance_of_nearly_best(worths, leader, MARGIN), chances_of_best(worths)
        )

    def contenders(self, confidence: float, most: int) -> list[int]:
        """The cells among which the best is with this confidence, at least two, at most `most`."""
        order = [int(cell) for cell in np.argsort(-self.chances, kind="stable")]
        enough = int(np.searchsorted(np.cumsum(self.chances[order]), confidence)) + 1
        return order[: max(2, min(most, enough))]


class Race:
    """The race of one sheet.

    positions: (table, row, column) of each cell.
    known: the values of the pictures that are there, by cell and number of their seed.
    observe: draws pictures and returns their values, given the standings and the round's number.
    confidence: with which the best must be known, 0 to 1.
    budget: pictures that the race may add.
    """

    def __init__(
        self,
        positions: Sequence[tuple[object, float, float]],
        known: Mapping[Key, float],
        observe: Callable[[Sequence[Key], Standings, int], Mapping[Key, float]],
        confidence: float,
        budget: int,
    ) -> None:
        self._likeness = likeness_of_cells(positions)
        self._values = dict(known)
        self._observe = observe
        self._confidence = confidence
        self._budget = budget
        self._drawn = 0

    def standings(self, outlook: Outlook) -> Standings:
        """What is known now."""
        pictures = [Observation(*key, value) for key, value in self._values.items()]
        return Standings.of(outlook.worths(draw_worths(pictures, self._likeness)))

    def run(self, outlook: Callable[[], Outlook]) -> Standings:
        """The standings at the end: the best is known, or the budget is spent.

        outlook: asked before each round: what the last one drew may have shown harm.
        """
        widest = WIDEST
        number = 1
        while True:
            now = self.standings(outlook())
            left = self._budget - self._drawn
            if left < 1 or self._is_sure(now):
                return now
            runners = now.contenders(self._confidence, widest)
            share = max(len(runners), self._budget // ROUNDS)
            keys = self._next_pictures(runners, min(left, share))
            self._values |= self._observe(keys, now, number)
            self._drawn += len(keys)
            widest = max(2, widest // 2)
            number += 1

    def _is_sure(self, now: Standings) -> bool:
        return now.confidence >= self._confidence and self._count(now.leader) >= LEAST

    def _count(self, cell: int) -> int:
        return sum(key[0] == cell for key in self._values)

    def _next_pictures(self, cells: Sequence[int], count: int) -> list[Key]:
        """Pictures to draw: always the next seed of the cell that has the fewest."""
        counts = {cell: self._count(cell) for cell in cells}
        keys = []
        for _ in range(count):
            cell = min(counts, key=lambda cell: counts[cell])  # of equals the likelier
            keys.append((cell, counts[cell]))
            counts[cell] += 1
        return keys
