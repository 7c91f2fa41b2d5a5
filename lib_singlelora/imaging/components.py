"""Connected components of a mask, by runs: no library is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def label_regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """(labels, count) of the pieces that are connected by their sides.

    labels: the number of each pixel's piece, from 1 on; 0 elsewhere, (H, W).
    """
    labels = np.zeros(mask.shape, dtype=np.int32)
    parent = [0]

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for row in range(mask.shape[0]):
        edges = np.diff(np.concatenate(([False], mask[row], [False])).astype(np.int8))
        for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            above = (
                {root(int(number)) for number in np.unique(labels[row - 1, start:end]) if number}
                if row
                else set()
            )
            if not above:
                parent.append(len(parent))
            number = min(above) if above else len(parent) - 1
            for other in above:
                parent[other] = number
            labels[row, start:end] = number
    roots = np.array([root(number) for number in range(len(parent))])
    kept, numbers = np.unique(roots, return_inverse=True)
    return numbers.astype(np.int32)[labels], len(kept) - 1
