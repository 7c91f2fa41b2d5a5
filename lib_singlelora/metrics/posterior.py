"""What pictures that differ by chance say of the cells they belong to: which is the best, how sure.

The value of cell i in the picture of seed s is modelled as y = m + μ_i + β_s + ε: what the cell is
worth, what the seed does to every cell, and the rest.  Cells near each other on the sheet are
alike, so μ has a covariance that falls with their distance.  The variances are not known; they are
integrated over a grid, each point of it weighted by its marginal likelihood, so that few pictures
give wide answers instead of sure ones.

Sources: the additive model of blocks and treatments with random effects, and its restricted
likelihood: Patterson and Thompson 1971, "Recovery of inter-block information when block sizes are
unequal".  Gaussian processes, and their marginal likelihood: Rasmussen and Williams 2006,
"Gaussian Processes for Machine Learning", sections 2.2, 2.7 and 5.4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 4000
# Variances relative to that of the rest: of the cells, and of the seeds
CELL_RATIOS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SEED_RATIOS = (0.01, 0.1, 0.5, 2.0)
# Cells that differ by one epoch or strength are this much alike, by another table half as much; of
# a cell's variance a fifth is its own
ROW_REACH = 3.0
COLUMN_REACH = 2.0
OTHER_TABLE = 0.6
OWN = 0.2
# The deviation of a value before any picture was seen, and for how many pictures that counts
PRIOR_DEVIATION = 0.08
PRIOR_COUNT = 2.0


@dataclass(frozen=True)
class Observation:
    """The value of one picture.

    cell: number of its cell.
    seed: its seed.
    """

    cell: int
    seed: int
    value: float


def likeness_of_cells(positions: Sequence[tuple[object, float, float]]) -> Floats:
    """(n, n): correlation of what cells are worth before a picture is seen, by their distance.

    positions: (table, row, column) of each.
    """
    rows = np.array([position[1] for position in positions], dtype=np.float64)
    columns = np.array([position[2] for position in positions], dtype=np.float64)
    far = np.abs(rows[:, None] - rows) / ROW_REACH + np.abs(columns[:, None] - columns) / (
        COLUMN_REACH
    )
    tables = [position[0] for position in positions]
    same = np.array([[one == other for other in tables] for one in tables], dtype=bool)
    shared = np.exp(-far) * np.where(same, 1.0, OTHER_TABLE)
    return np.asarray(OWN * np.eye(len(positions)) + (1 - OWN) * shared, dtype=np.float64)


def draw_worths(
    observations: Sequence[Observation], likeness: Floats, draws: int = DRAWS
) -> Floats:
    """(draws, n): what the n cells may be worth, given the pictures.

    The draws are the same for the same pictures.

    likeness: of the cells (`likeness_of_cells`); those without a picture are drawn by it too.
    """
    values = np.array([each.value for each in observations], dtype=np.float64)
    cells = np.array([each.cell for each in observations], dtype=np.intp)
    seeds = np.array([each.seed for each in observations])
    same_seed = (seeds[:, None] == seeds).astype(np.float64)
    parts = [
        _conditioned(values, cells, same_seed, likeness, cell_ratio, seed_ratio)
        for cell_ratio in CELL_RATIOS
        for seed_ratio in SEED_RATIOS
    ]
    logs = np.array([part.log_likelihood for part in parts])
    weights = np.exp(logs - logs.max())
    shares = np.floor(np.cumsum(weights / weights.sum()) * draws + 0.5).astype(int)
    random = np.random.default_rng(1)
    drawn = [
        part.draw(count, random)
        for part, count in zip(parts, np.diff(shares, prepend=0), strict=True)
        if count
    ]
    return np.concatenate(drawn)


@dataclass(frozen=True)
class _Conditioned:
    """The cells at one pair of variances.

    mean, root: of what they are worth; root @ root.T is their covariance per variance of the rest.
    squares, freedom: of the rest's variance, squares / χ²(freedom).
    """

    log_likelihood: float
    mean: Floats
    root: Floats
    squares: float
    freedom: float

    def draw(self, count: int, random: np.random.Generator) -> Floats:
        """(count, n)"""
        variance = self.squares / random.chisquare(self.freedom, count)
        noise = random.standard_normal((count, len(self.mean))) @ self.root.T
        return np.asarray(self.mean + np.sqrt(variance)[:, None] * noise, dtype=np.float64)


def _conditioned(
    values: Floats,
    cells: NDArray[np.intp],
    same_seed: Floats,
    likeness: Floats,
    cell_ratio: float,
    seed_ratio: float,
) -> _Conditioned:
    """Kriging with an unknown mean."""
    count = len(values)
    covariance = (
        cell_ratio * likeness[np.ix_(cells, cells)] + seed_ratio * same_seed + np.eye(count)
    )
    lower = np.linalg.cholesky(covariance)
    ones = np.linalg.solve(lower, np.ones(count))
    white = np.linalg.solve(lower, values)
    precision = float(ones @ ones)
    level = float(ones @ white) / precision
    rest = white - level * ones
    squares = float(rest @ rest) + PRIOR_COUNT * PRIOR_DEVIATION**2
    freedom = count - 1 + PRIOR_COUNT
    log_likelihood = (
        -float(np.log(np.diag(lower)).sum())
        - 0.5 * np.log(precision)
        - 0.5 * freedom * np.log(squares)
    )
    shared = np.linalg.solve(lower, cell_ratio * likeness[cells])  # (count, n)
    mean = level + shared.T @ rest
    unsure = 1 - shared.T @ ones  # what an unknown level adds
    posterior = cell_ratio * likeness - shared.T @ shared + np.outer(unsure, unsure) / precision
    root = np.linalg.cholesky(posterior + 1e-9 * np.eye(len(likeness)))
    return _Conditioned(float(log_likelihood), mean, root, squares, freedom)


def chances_of_best(worths: Floats) -> Floats:
    """(n,): of each cell, the chance that none is better.  worths: as `draw_worths` gives them."""
    winners = np.bincount(worths.argmax(axis=1), minlength=worths.shape[1])
    return np.asarray(winners / len(worths), dtype=np.float64)


def chance_of_nearly_best(worths: Floats, cell: int, margin: float) -> float:
    """The chance that no cell is better than this one by more than the margin."""
    return float((worths[:, cell] >= worths.max(axis=1) - margin).mean())
