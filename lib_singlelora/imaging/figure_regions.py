"""What is known of each region of a picture: its extent, its colours, what it touches.

`n` is the number of regions, `h` and `w` the picture's height and width.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .drawn_face import Spots, spots
from .segments import Array, Borders, Labels, borders

REACH = 0.06  # of the height: so far above and below itself a background is expected to go on
FAR = 100.0  # ΔE that stands for: no background goes on at this height
Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """The regions of one picture.

    labels: the number of each pixel's region, (h, w).
    area: pixels, (n,).
    rows, columns: first and one past the last, (n, 2).
    profile: mean L*a*b* in each row, NaN where the region has none, (n, h, 3).
    sides: pixels on the left, upper, right and lower edge of the picture, (n, 4).
    pairs: the borders between neighbours.
    spots: the regions as spots.
    """

    labels: Labels
    area: Values
    rows: Numbers
    columns: Numbers
    profile: Array
    sides: Values
    pairs: Borders
    spots: Spots


def describe_regions(labels: Labels, lab: Array) -> Regions:
    """The regions of a segmented picture.  lab: its L*a*b*, (h, w, 3)."""
    count = int(labels.max()) + 1
    height, width = labels.shape
    area = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    row_of = labels.astype(np.int64) * height + np.arange(height)[:, None]
    by_row = np.bincount(row_of.ravel(), minlength=count * height).reshape(count, height)
    sums = [
        np.bincount(row_of.ravel(), lab[..., channel].ravel(), count * height).reshape(
            count, height
        )
        for channel in range(3)
    ]
    with np.errstate(invalid="ignore"):
        profile = np.stack(
            [total / np.where(by_row, by_row, np.nan) for total in sums], axis=-1
        ).astype(np.float32)
    column_of = labels.astype(np.int64) * width + np.arange(width)
    by_column = np.bincount(column_of.ravel(), minlength=count * width).reshape(count, width)
    edges = (labels[:, 0], labels[0], labels[:, -1], labels[-1])
    sides = np.stack([np.bincount(edge, minlength=count) for edge in edges], axis=1)
    return Regions(
        labels,
        area,
        _extent(by_row > 0),
        _extent(by_column > 0),
        profile,
        sides.astype(np.float64),
        borders(labels, lab),
        spots(labels, lab),
    )


def _extent(filled: NDArray[np.bool_]) -> Numbers:
    """First and one past the last that is filled, (n, 2)."""
    first = filled.argmax(axis=1)
    end = filled.shape[1] - filled[:, ::-1].argmax(axis=1)
    return np.stack([first, end], axis=1)


def background_distance(regions: Regions, seeds: Numbers) -> Values:
    """ΔE of each region from the most similar background that goes on at its height, (n,).

    seeds: the regions that are background.
    """
    count, height = regions.profile.shape[:2]
    reach = max(1, round(REACH * height))
    nearest_of_all = np.full(count, FAR)
    for seed in seeds:
        first, last = regions.rows[seed]
        profile = regions.profile[seed]
        filled = np.flatnonzero(~np.isnan(profile[:, 0]))
        # Each row takes the background's colour of the nearest row that has one.
        nearest = filled[np.clip(np.searchsorted(filled, np.arange(height)), 0, len(filled) - 1)]
        colours = profile[nearest]
        low = max(0, first - reach)
        high = min(height, last + reach)
        step = np.sqrt(((regions.profile[:, low:high] - colours[low:high]) ** 2).sum(axis=-1))
        known = ~np.isnan(step)
        total = np.where(known, step, 0).sum(axis=1)
        shared_rows = known.sum(axis=1)
        rows = regions.rows[:, 1] - regions.rows[:, 0]
        enough = shared_rows >= 0.6 * rows
        mean = np.where(enough, total / np.maximum(shared_rows, 1), FAR)
        mean[seed] = 0.0
        nearest_of_all = np.minimum(nearest_of_all, mean)
    return nearest_of_all


def figure_distance(regions: Regions, figure: Numbers) -> Values:
    """ΔE of each region's mean colour from the most similar of the figure's, (n,).

    figure: regions that are surely the character, wherever they are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(regions.profile, axis=1)
    apart = np.sqrt(((mean[:, None] - mean[figure][None]) ** 2).sum(axis=-1))
    nearest: Values = apart.min(axis=1).astype(np.float64)
    return nearest


def thickness(regions: Regions) -> Values:
    """The area of each region by its longer side, pixels, (n,); what it encloses does not count."""
    tall = regions.rows[:, 1] - regions.rows[:, 0]
    wide = regions.columns[:, 1] - regions.columns[:, 0]
    thick: Values = regions.area / np.maximum(tall, wide)
    return thick
