"""How many pictures are drawn at once, and what happens when they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from lib_singlelora.host import ImageRequest
from lib_singlelora.hosts.batches import MOST, SHARE, BatchSizes, check_alike, single

REQUEST = ImageRequest("1girl", tuple(range(10)), 512, 512)


def draw_up_to(most: int, sizes: list[int]) -> object:
    def draw(batch: Sequence[ImageRequest], before: int) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > most:
            raise torch.cuda.OutOfMemoryError
        assert before == batch[0].seeds[0]
        return [request.seeds[0] for request in batch]

    return draw


class StandInMemory:
    """A device of so many bytes, on which a picture of a cell wants some."""

    def __init__(self, total: int, each: int) -> None:
        self.total = total
        self.each = each
        self.used = 0

    def free(self) -> int:
        return self.total

    def mark(self) -> None:
        self.used = 0

    def peak(self) -> int:
        return self.used


@pytest.mark.parametrize(
    ("device", "side", "expected"),
    [("cpu", 128, 8), ("cpu", 256, 2), ("cpu", 512, 1), ("cpu", 8, MOST), ("mps", 64, 1)],
)
def test_without_a_gpu_the_limit_follows_the_size(device: str, side: int, expected: int) -> None:
    assert BatchSizes(device).limit(side, side) == expected


@pytest.mark.parametrize(
    ("room", "expected"),
    [(100, [1, 2, 4, 3]), (3.9, [1, 2, 3, 3, 1]), (1.5, [1] * 10), (0.1, [1] * 10)],
)
def test_on_a_gpu_batches_grow_as_far_as_the_free_memory_has_room(
    room: float, expected: list[int]
) -> None:
    """room: for pictures of 512 × 512, which take what they took before."""
    each = 1000 * 64 * 64
    memory = StandInMemory(int(room * each / SHARE) + 1, each)
    batches = BatchSizes("cuda", memory)
    sizes: list[int] = []

    def draw(batch: Sequence[ImageRequest], before: int) -> list[int]:
        sizes.append(len(batch))
        memory.used = len(batch) * each
        return [request.seeds[0] for request in batch]

    assert batches.draw(single(REQUEST), draw, lambda: None) == list(range(10))
    assert sizes == expected
    assert batches.limit(4096, 4096) == 1


def test_a_batch_that_does_not_fit_is_halved_for_good() -> None:
    sizes: list[int] = []
    freed: list[bool] = []
    batches = BatchSizes("cuda", StandInMemory(2**50, 1))
    drawn = batches.draw(single(REQUEST), draw_up_to(3, sizes), lambda: freed.append(True))
    assert drawn == list(range(10))
    assert sizes == [1, 2, 4, 2, 2, 2, 1] and len(freed) == 1
    assert batches.limit(512, 512) == 2
    # Smaller pictures still go together
    assert batches.limit(256, 256) == 8


def test_a_single_picture_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError):
        BatchSizes("cuda", StandInMemory(0, 1)).draw(
            single(REQUEST), draw_up_to(0, []), lambda: None
        )


def test_requests_of_one_batch_are_alike() -> None:
    one, two = single(replace(REQUEST, seeds=(1, 2)))
    check_alike([one, replace(two, prompt="1boy", negative_prompt="blurry")])
    for other in (replace(two, steps=3), replace(two, width=256), REQUEST):
        with pytest.raises(ValueError, match="found"):
            check_alike([one, other])
