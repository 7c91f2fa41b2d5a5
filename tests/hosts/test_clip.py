"""Where a part of a prompt lies among the tokens of its chunks."""

from __future__ import annotations

import pytest

from lib_singlelora.hosts.clip import part_positions

START, END = 100, 101


def chunk(*ids: int) -> list[int]:
    """A chunk of seven tokens, those of start and end included."""
    return [START, *ids, *[END] * (6 - len(ids))]


@pytest.mark.parametrize(
    ("chunks", "part", "expected"),
    [
        ([chunk(1, 2, 3)], [1], [1]),
        ([chunk(1, 2, 3, 2, 3)], [2, 3], [2, 3]),  # the first time
        ([chunk(1, 2, 1, 3)], [1, 3], [3, 4]),  # not where only its beginning lies
        ([chunk(1, 2, 3, 4, 5), chunk(6, 7)], [5, 6], [5, 8]),  # it goes on in the next chunk
        ([chunk(1, 2), chunk(6, 7)], [6, 7], [8, 9]),  # a host may end a chunk early
        ([chunk(1, 2)], [3], []),
        ([chunk(1, 2)], [1, 2, 3, 4, 5, 6], []),
        ([chunk()], [1], []),
        ([chunk(1)], [], []),
    ],
)
def test_a_part_is_found(chunks: list[list[int]], part: list[int], expected: list[int]) -> None:
    assert part_positions(chunks, part) == expected
