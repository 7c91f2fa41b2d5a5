"""The pieces of a mask, beside a flood that visits pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lib_singlelora.imaging.components import label_regions


def flooded(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """The same, slowly: each piece numbered when a row first meets it."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    count = 0
    for start in map(tuple, np.argwhere(mask)):
        if labels[start]:
            continue
        count += 1
        waiting = [start]
        while waiting:
            y, x = waiting.pop()
            inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
            if inside and mask[y, x] and not labels[y, x]:
                labels[y, x] = count
                waiting += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return labels, count


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.6, 0.8, 1.0])
def test_the_pieces_are_those_of_a_flood(share: float) -> None:
    rng = np.random.default_rng(int(10 * share))
    for _ in range(30):
        mask = rng.random(rng.integers(1, 24, 2)) < share
        labels, count = label_regions(mask)
        expected, number = flooded(mask)
        assert count == number and np.array_equal(labels, expected)


def test_pieces_that_meet_late_are_one() -> None:
    rows = ["#.#.#", "#.#.#", "#####", "....#", "##.##"]
    mask = np.array([[character == "#" for character in row] for row in rows])
    labels, count = label_regions(mask)
    assert count == 2
    assert labels.tolist() == [
        [1, 0, 1, 0, 1],
        [1, 0, 1, 0, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1],
        [2, 2, 0, 1, 1],
    ]
    # The end of a row does not touch the beginning of the next one
    assert label_regions(np.array([[False, True], [True, False]]))[1] == 2
