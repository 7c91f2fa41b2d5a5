"""How many pictures are drawn at once, and what happens when they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from lib_singlelora.host import ImageRequest
from lib_singlelora.hosts.batches import MOST, BatchSizes, check_alike, single

REQUEST = ImageRequest("1girl", tuple(range(10)), 512, 512)


def draw_up_to(most: int, sizes: list[int]) -> object:
    def draw(batch: Sequence[ImageRequest], before: int) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > most:
            raise torch.cuda.OutOfMemoryError
        assert before == batch[0].seeds[0]
        return [request.seeds[0] for request in batch]

    return draw


@pytest.mark.parametrize(
    ("device", "side", "expected"),
    [
        ("cpu", 128, 8),
        ("cpu", 256, 2),
        ("cpu", 512, 1),
        ("cuda", 512, 8),
        ("cuda", 1024, 2),
        ("cuda", 4096, 1),
        ("cpu", 8, MOST),
    ],
)
def test_the_limit_follows_device_and_size(device: str, side: int, expected: int) -> None:
    assert BatchSizes(device).limit(side, side) == expected


def test_a_batch_that_does_not_fit_is_halved_for_good() -> None:
    sizes: list[int] = []
    freed: list[bool] = []
    batches = BatchSizes("cuda")
    drawn = batches.draw(single(REQUEST), draw_up_to(3, sizes), lambda: freed.append(True))
    assert drawn == list(range(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2] and len(freed) == 2
    assert batches.limit(512, 512) == 2
    # Smaller pictures still go together
    assert batches.limit(256, 256) == 8


def test_a_single_picture_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError):
        BatchSizes("cuda").draw(single(REQUEST), draw_up_to(0, []), lambda: None)


def test_requests_of_one_batch_are_alike() -> None:
    one, two = single(replace(REQUEST, seeds=(1, 2)))
    check_alike([one, replace(two, prompt="1boy", negative_prompt="blurry")])
    for other in (replace(two, steps=3), replace(two, width=256), REQUEST):
        with pytest.raises(ValueError, match="found"):
            check_alike([one, other])
