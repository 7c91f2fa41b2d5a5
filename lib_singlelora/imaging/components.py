"""Connected components of a mask, by runs: no library is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def label_regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """(labels, count) of the pieces that are connected by their sides.

    labels: the number of each pixel's piece, from 1 on in the order in which rows meet them; 0
        elsewhere, (H, W).
    """
    height, width = mask.shape
    padded = np.zeros((height, width + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    # Runs of set pixels, row by row; positions are numbers over all rows, one more to each row
    # than it has pixels, so that no run ends where the next row begins
    rows, first = np.nonzero(steps == 1)
    starts = rows * (width + 1) + first
    ends = np.flatnonzero(steps == -1)
    above = width + 1
    # The runs of the row above that each one touches, as a range of their numbers
    lowest = np.searchsorted(ends, starts - above, side="right")
    counts = np.maximum(0, np.searchsorted(starts, ends - above, side="left") - lowest)
    below = np.repeat(np.arange(len(starts)), counts)
    touched = np.arange(len(below)) + np.repeat(lowest - np.cumsum(counts) + counts, counts)
    parent = list(range(len(starts)))

    # Each root is looked up here, not in a function, which would take half as long again
    for one, other in zip(touched.tolist(), below.tolist(), strict=True):
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        while parent[other] != other:
            parent[other] = other = parent[parent[other]]
        if one < other:
            parent[other] = one
        else:
            parent[one] = other
    roots = roots_of(parent)
    kept, numbers = np.unique(roots, return_inverse=True)
    labels = np.zeros(mask.shape, dtype=np.int32)
    labels[mask] = np.repeat(numbers + 1, ends - starts)
    return labels, len(kept)


def roots_of(parent: Sequence[int]) -> NDArray[np.int64]:
    """The root of each node of a forest."""
    above = np.array(parent, dtype=np.int64)
    while not np.array_equal(roots := above[above], above):
        above = roots
    return above
