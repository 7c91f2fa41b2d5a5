"""Where garments end on a standing figure: the rows in which its colours or its width change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..imaging.colour import to_lab

LONG_SIDE = 512  # pixels; larger pictures are reduced before they are compared
WINDOW = 0.08  # of the body below the chin: what is above and below a row is compared so far
BIN = 25.0  # L*, a*, b*: colours of one bin count as one
WAIST = 0.14  # of the body: a waist may lie so far from where it usually is
SHORTEST = 0.12  # of the body: a skirt is longer
LOWEST = 0.08  # of the body, from the feet: a hem further down is a sole
CHANGE = 0.6  # 0 to 1: a change from which on a garment ends
SLIGHT = 0.45  # the same for a waist, whose place is known better


def waist_of(
    image: Image.Image,
    solid: NDArray[np.bool_],
    usual: float,
    body: float,
    columns: tuple[float, float],
) -> float | None:
    """The row, pixels, in which what is worn above meets what is worn below; None without one.

    solid: the character, (H, W).
    usual: the row where a waist lies.
    body: from chin to feet, pixels.
    columns: of the torso: arms beside it do not count.
    """
    span = usual - WAIST * body, usual + WAIST * body
    rows, changes = changes_in(image, solid, span, columns, WINDOW * body)
    return _first_end(rows, changes, SLIGHT, WINDOW * body)


def hem_below(
    image: Image.Image,
    solid: NDArray[np.bool_],
    waist: float,
    body: float,
    columns: tuple[float, float],
) -> float | None:
    """The row, pixels, in which the garment below the waist ends; None where it does not.

    solid, body, columns: as in `waist_of`.
    """
    figure = np.flatnonzero(solid.any(axis=1))
    if not figure.size:
        return None
    lowest = float(figure[-1]) - LOWEST * body
    rows, changes = changes_in(
        image, solid, (waist + SHORTEST * body, lowest), columns, WINDOW * body
    )
    return _first_end(rows, changes, CHANGE, WINDOW * body)


def changes_in(
    image: Image.Image,
    solid: NDArray[np.bool_],
    span: tuple[float, float],
    columns: tuple[float, float],
    window: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rows of the picture, how much the figure changes there, 0 to 1).

    The larger of two changes from the rows above to those below: the share of the torso's columns
    that has other colours, so that the stripes of one skirt do not count, and how much narrower or
    wider the figure becomes.

    solid: the character, (H, W).
    span, columns, window: pixels of the picture.
    """
    scale = min(1.0, LONG_SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    lab = to_lab(image.convert("RGB").resize(size, Image.Resampling.BOX))
    figure = (
        np.asarray(Image.fromarray(solid).convert("L").resize(size, Image.Resampling.BOX)) > 127
    )
    widths = figure.sum(axis=1)
    left, right = (min(size[0], max(0, round(column * scale))) for column in columns)
    reach = max(1, round(window * scale))
    first, last = max(reach, round(span[0] * scale)), min(size[1] - reach, round(span[1] * scale))
    rows = np.arange(first, max(first, last))
    changes = np.zeros(len(rows))
    for index, row in enumerate(rows):
        above, below = slice(row - reach, row), slice(row, row + reach)
        histograms = [
            _colours(lab[part, left:right], figure[part, left:right]) for part in (above, below)
        ]
        wide = [float(np.median(widths[part])) for part in (above, below)]
        colour = float(np.abs(histograms[0] - histograms[1]).sum()) / 2
        changes[index] = max(colour, abs(wide[0] - wide[1]) / max(*wide, 1.0))
    return rows / scale, changes


def _first_end(
    rows: NDArray[np.float64], changes: NDArray[np.float64], least: float, around: float
) -> float | None:
    """The first row whose change is the largest of those around it, and large enough."""
    for row, change in zip(rows, changes, strict=True):
        if change >= max(least, changes[np.abs(rows - row) <= around].max()):
            return float(row)
    return None


def _colours(lab: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of each bin of colours among the pixels inside; all 0 where there are none."""
    bins = np.clip(np.rint(lab[inside] / BIN).astype(np.int64) + np.array((0, 6, 6)), 0, 12)
    counts = np.bincount(bins @ (169, 13, 1), minlength=13**3).astype(np.float64)
    return counts / max(1.0, float(counts.sum()))
