"""How many pictures a host draws at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from ..host import ImageRequest

logger = logging.getLogger(__name__)

Drawn = TypeVar("Drawn")

MOST = 8
# Cells of the latents (pixels / 64) of all pictures that are drawn at once.  A CPU wins as long as
# its passes are small: a picture of 16 × 16 cells takes 0.66 of the time in a company of two, 0.5
# of four and 0.44 of eight, one of 64 × 64 the same time in any.  On a GPU this is where memory
# begins to tell; what does not fit after all is found out by trying.
CPU_CELLS = 2048
GPU_CELLS = 32_768


class BatchSizes:
    """The number of pictures that a device draws at once, by their size.

    device: PyTorch's name of it.
    """

    def __init__(self, device: str) -> None:
        self._cells = CPU_CELLS if torch.device(device).type == "cpu" else GPU_CELLS

    def limit(self, width: int, height: int) -> int:
        """Pictures of so many pixels that are drawn at once, 1 to MOST."""
        return max(1, min(MOST, self._cells // (width // 8 * (height // 8))))

    def draw(
        self,
        requests: Sequence[ImageRequest],
        draw: Callable[[Sequence[ImageRequest], int], list[Drawn]],
        free_memory: Callable[[], None],
    ) -> list[Drawn]:
        """All pictures, in batches; a batch that does not fit into memory is halved, for good.

        requests: of one size.
        draw: a batch, and the number of the pictures before it.
        free_memory: called before a smaller batch is tried.
        Raises: torch.cuda.OutOfMemoryError, for a single picture.
        """
        drawn: list[Drawn] = []
        while len(drawn) < len(requests):
            first = requests[len(drawn)]
            batch = requests[len(drawn) :][: self.limit(first.width, first.height)]
            try:
                drawn += draw(batch, len(drawn))
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self._cells = len(batch) // 2 * (first.width // 8 * (first.height // 8))
                logger.warning(
                    "memory does not suffice for %d pictures of %d x %d at once; from now on %d",
                    len(batch),
                    first.width,
                    first.height,
                    len(batch) // 2,
                )
            else:
                continue
            free_memory()  # here, where the error no longer holds what it was raised in
        return drawn


def single(request: ImageRequest) -> list[ImageRequest]:
    """A request of its own for each seed."""
    return [replace(request, seeds=(seed,)) for seed in request.seeds]


def check_alike(requests: Sequence[ImageRequest]) -> None:
    """Raises: ValueError, for requests that one batch cannot hold: of several seeds, or that differ
    in more than prompts and seed.
    """
    for request in requests:
        if len(request.seeds) != 1:
            raise ValueError(f"found {len(request.seeds)} seeds in a request, expected one")
        common = replace(
            request,
            prompt=requests[0].prompt,
            negative_prompt=requests[0].negative_prompt,
            seeds=requests[0].seeds,
        )
        if common != requests[0]:
            raise ValueError(
                "found requests that differ in more than prompt, negative prompt and seed"
            )
