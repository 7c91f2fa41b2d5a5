"""The race on cells whose worth is known: whom it calls the best, and how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from lib_singlelora.judge.cells import Judgement
from lib_singlelora.judge.contest import Contest
from lib_singlelora.judge.race import MARGIN, Key, Outlook, Race, Standings
from lib_singlelora.judge.scale import Scale
from lib_singlelora.metrics.similarity import PixelCheck

POSITIONS = [
    (table, row, column) for table in ("ALL", "OUTD") for row in range(5) for column in range(4)
]
Worths = Sequence[float]


def smooth(random: np.random.Generator) -> Worths:
    """A hill somewhere on the sheet; the second table lies lower."""
    top = random.uniform(1, 5), random.uniform(1, 4)
    return [
        0.6
        - 0.02 * (row - top[0]) ** 2
        - 0.05 * (column - top[1]) ** 2
        - 0.1 * (table == "OUTD")
        + random.normal(0, 0.02)
        for table, row, column in POSITIONS
    ]


def scattered(random: np.random.Generator) -> Worths:
    """Neighbours have nothing in common."""
    return list(random.normal(0.4, 0.15, len(POSITIONS)))


def alike(random: np.random.Generator) -> Worths:
    """Nothing to be found."""
    return list(0.5 + random.normal(0, 0.01, len(POSITIONS)))


class Pictures:
    """Draws values: a cell's worth, what the seed does to all, and chance."""

    def __init__(self, worths: Worths, noise: float, seed: int) -> None:
        self._worths = worths
        self._random = np.random.default_rng(seed)
        self._noise = noise
        self._seeds = self._random.normal(0, noise / 2, 1000)
        self.drawn: list[Key] = []

    def __call__(
        self, keys: Sequence[Key], now: Standings | None = None, number: int = 0
    ) -> Mapping[Key, float]:
        self.drawn += keys
        return {
            (cell, seed): float(
                self._worths[cell] + self._seeds[seed] + self._random.normal(0, self._noise)
            )
            for cell, seed in keys
        }


def race(
    worths: Worths, noise: float, seed: int, budget: int = 24, start: Sequence[int] | None = None
) -> tuple[Standings, Pictures]:
    pictures = Pictures(worths, noise, seed)
    first = pictures([(cell, 0) for cell in start or range(len(worths))])
    pictures.drawn.clear()
    run = Race(POSITIONS[: len(worths)], first, pictures, 0.9, budget)
    return run.run(lambda: Outlook(np.zeros(len(worths)))), pictures


@pytest.mark.parametrize("noise", [0.04, 0.1])
@pytest.mark.parametrize("world", [smooth, scattered, alike])
def test_of_the_races_that_are_sure_enough_are_right(world, noise: float) -> None:
    """And of all races as many as they say together: a winner by chance is not called sure."""
    said = []
    right = []
    for seed in range(40):
        worths = world(np.random.default_rng(seed))
        ended, _ = race(worths, noise, seed)
        said.append(ended.confidence)
        right.append(worths[ended.leader] >= max(worths) - MARGIN)
    sure = [good for good, chance in zip(right, said, strict=True) if chance >= 0.9]
    # Three standard errors below 0.9
    assert not sure or np.mean(sure) >= 0.9 - 3 * (0.9 * 0.1 / len(sure)) ** 0.5
    assert np.mean(right) >= np.mean(said) - 0.15


def test_one_lucky_picture_is_no_evidence() -> None:
    first = {(cell, 0): 0.4 for cell in range(20)} | {(7, 0): 0.7}
    now = Race(POSITIONS[:20], first, Pictures([0.4] * 20, 0.1, 1), 0.9, 0).run(
        lambda: Outlook(np.zeros(20))
    )
    assert now.confidence < 0.9


def test_the_race_finds_better_cells_than_one_picture_each() -> None:
    lost = []
    lost_by_one = []
    for seed in range(20):
        worths = smooth(np.random.default_rng(seed))
        ended, _ = race(worths, 0.1, seed)
        lost.append(max(worths) - worths[ended.leader])
        first = Pictures(worths, 0.1, seed)([(cell, 0) for cell in range(len(worths))])
        lost_by_one.append(max(worths) - worths[max(first, key=lambda key: first[key])[0]])
    assert np.mean(lost) < 0.5 * np.mean(lost_by_one)


def test_it_ends_as_soon_as_the_best_is_known_and_never_passes_the_budget() -> None:
    clear = [0.1] * 39 + [0.9]
    ended, pictures = race(clear, 0.02, 1)
    assert ended.leader == 39 and ended.confidence >= 0.9 and len(pictures.drawn) < 24
    for budget in (0, 1, 5, 13):
        assert len(race([0.5] * 40, 0.1, 1, budget)[1].drawn) == budget


def test_the_hopeless_get_no_further_picture_and_the_leaders_get_several() -> None:
    worths = [0.0] * 30 + [0.48, 0.5, 0.52, 0.5, 0.51] + [0.0] * 5
    _, pictures = race(worths, 0.05, 3)
    counts = {cell: [key[0] for key in pictures.drawn].count(cell) for cell in range(40)}
    assert sum(counts[cell] for cell in range(30)) <= 2 and max(counts.values()) >= 4
    seeds = [seed for cell, seed in pictures.drawn if counts[cell] == max(counts.values())]
    assert seeds[0] == 1  # after the picture that is there


def test_cells_that_were_not_drawn_are_drawn_where_they_may_be_the_best() -> None:
    worths = [0.1 + 0.04 * row + 0.15 * column for _, row, column in POSITIONS[:20]]
    start = [n for n, (_, row, column) in enumerate(POSITIONS[:20]) if row % 2 == column % 2 == 0]
    ended, pictures = race(worths, 0.02, 1, start=start)
    assert 19 not in start and ended.leader == 19 and (19, 0) in pictures.drawn


def test_a_race_is_the_same_each_time() -> None:
    worths = smooth(np.random.default_rng(1))
    one, first = race(worths, 0.08, 4)
    other, second = race(worths, 0.08, 4)
    assert first.drawn == second.drawn and (one.worths == other.worths).all()


def test_what_a_cell_costs_is_taken_from_its_worth() -> None:
    worths = [0.5] * 39 + [0.9]
    prices = np.array([0.0] * 39 + [0.6])
    pictures = Pictures(worths, 0.02, 1)
    first = pictures([(cell, 0) for cell in range(40)])
    assert Race(POSITIONS, first, pictures, 0.9, 6).run(lambda: Outlook(prices)).leader != 39


def test_doubt_in_what_is_added_widens_the_chance_and_moves_no_mean() -> None:
    """What cells share, they share: it decides nothing between them."""
    own = np.random.default_rng(1).normal([0.5, 0.58], 0.02, (4000, 2))
    sure, shared, each = (
        Standings.of(Outlook(np.zeros(2), doubts=doubts).worths(own))
        for doubts in (None, np.array([[0.2], [0.2]]), np.array([[0.1, 0], [0, 0.1]]))
    )
    assert sure.leader == shared.leader == each.leader == 1
    assert shared.worths.mean(axis=0) == pytest.approx(sure.worths.mean(axis=0))
    assert each.worths.mean(axis=0) == pytest.approx(sure.worths.mean(axis=0))
    assert sure.confidence > 0.99 and shared.confidence == pytest.approx(sure.confidence)
    assert 0.6 < each.confidence < 0.85
    assert shared.worths.std(axis=0).min() > 0.15


def test_the_doubt_of_the_probes_is_what_cells_differ_by_beyond_themselves() -> None:
    scale = Scale({"retention": 1.0}, 0.2, None, 0.0, 1.0)
    easy_and_hard = [0.9, 0.5, 0.1]
    assert scale.doubt_elsewhere(np.array([easy_and_hard]), 0.2) == pytest.approx(
        0.4 / 3**0.5 / 0.8
    )
    better = [kept + 0.1 for kept in easy_and_hard]
    assert scale.doubt_elsewhere(np.array([easy_and_hard, better]), 0.2) == pytest.approx(0)
    uneven = [0.9, 0.7, 0.1]
    rest = np.array([[0.2 / 3, -0.4 / 3, 0.2 / 3]]) / 2
    expected = (2 * np.square(rest).sum() / 2 / 3) ** 0.5 / 0.8
    assert scale.doubt_elsewhere(np.array([easy_and_hard, uneven]), 0.2) == pytest.approx(expected)
    assert scale.doubt_elsewhere(np.array([[0.4]]), 0.2) == 0


def test_a_race_s_own_pictures_leave_nothing_of_earlier_ones_but_the_probes() -> None:
    """A figure that is known of the first picture and not of the next is known no more."""
    contest = Contest.__new__(Contest)
    contest.scale = Scale({"retention": 1.0}, 0.2, None, 0.0, 1.0)
    before = Judgement(
        PixelCheck(0.5, ""),
        scores={"likeness": 0.4, "damage": 0.3, "leak": 0.2, "elsewhere": 0.15},
        by_picture={"likeness": (0.4,), "damage": (0.3,), "elsewhere": (0.1, 0.2)},
    )
    seen = Judgement(PixelCheck(0.6, ""), scores={"damage": 0.1}, by_picture={"damage": (0.3, 0)})
    now = contest._seen_anew(before, seen)
    assert now.scores == {"damage": 0.1, "leak": 0.2, "elsewhere": 0.15}
    assert now.by_picture == {"damage": (0.3, 0), "elsewhere": (0.1, 0.2)}
