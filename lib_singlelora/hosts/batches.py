"""How many pictures a host draws at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import torch

from ..host import ImageRequest

logger = logging.getLogger(__name__)

Drawn = TypeVar("Drawn")

MOST = 8
# Cells of the latents (pixels / 64) of all pictures that a CPU draws at once.  It wins as long as
# its passes are small: a picture of 16 × 16 cells takes 0.66 of the time in a company of two, 0.5
# of four and 0.44 of eight, one of 64 × 64 the same time in any.
CPU_CELLS = 2048
SHARE = 0.8  # of the free memory that a batch may want, by what the one before it took
GROWTH = 2  # a batch is at most so many times the largest one that fitted


class Memory(Protocol):
    """A device's memory, in bytes."""

    def free(self) -> int:
        """What can be had."""
        ...

    def mark(self) -> None:
        """Look for the peak from here on."""
        ...

    def peak(self) -> int:
        """How much more than at the mark was in use at the most."""
        ...


class CudaMemory:
    """A CUDA device's memory.

    device: PyTorch's name of it.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._before = 0

    def free(self) -> int:
        """What the driver has left, and what PyTorch holds and does not use."""
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        return torch.cuda.mem_get_info(self._device)[0] + unused

    def mark(self) -> None:
        """Look for the peak from here on."""
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def peak(self) -> int:
        """How much more than at the mark was in use at the most."""
        return torch.cuda.max_memory_allocated(self._device) - self._before


class BatchSizes:
    """The number of pictures that a device draws at once, by their size.

    A CPU has a fixed number.  On a GPU the first picture is drawn alone, and each batch is at most
    twice the largest one before it and as large as the memory that is free then has room for, by
    what the one before took.  Elsewhere, where nobody measured, pictures are drawn one by one.

    device: PyTorch's name of it.
    memory: of a GPU; default what CUDA says of the device.
    """

    def __init__(self, device: str, memory: Memory | None = None) -> None:
        kind = torch.device(device).type
        self._is_cpu = kind == "cpu"
        self._memory = memory or (CudaMemory(device) if kind == "cuda" else None)
        self._fitted = 0  # cells of the largest batch that was drawn
        self._each = 0.0  # bytes of a cell, of the latest batch
        self._refused: int | None = None  # cells of the smallest batch that did not fit, halved

    def limit(self, width: int, height: int) -> int:
        """Pictures of so many pixels that are drawn at once, 1 to MOST."""
        return max(1, min(MOST, self._cells() // (width // 8 * (height // 8))))

    def _cells(self) -> int:
        """Of all pictures that are drawn at once."""
        if self._is_cpu:
            return CPU_CELLS
        if self._memory is None:
            return 0
        cells = GROWTH * self._fitted
        if self._refused is not None:
            cells = min(cells, self._refused)
        return min(cells, int(SHARE * self._memory.free() / self._each)) if self._each else cells

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
            cells = len(batch) * (first.width // 8 * (first.height // 8))
            try:
                if self._memory:
                    self._memory.mark()
                drawn += draw(batch, len(drawn))
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self._refused = cells // len(batch) * (len(batch) // 2)
                logger.warning(
                    "memory does not suffice for %d pictures of %d x %d at once; from now on %d",
                    len(batch),
                    first.width,
                    first.height,
                    len(batch) // 2,
                )
            else:
                self._note(cells)
                continue
            free_memory()  # here, where the error no longer holds what it was raised in
        return drawn

    def _note(self, cells: int) -> None:
        """A batch of so many cells fitted."""
        if self._memory:
            self._fitted = max(self._fitted, cells)
            self._each = self._memory.peak() / cells


def single(request: ImageRequest) -> list[ImageRequest]:
    """A request of its own for each seed."""
    return [replace(request, seeds=(seed,)) for seed in request.seeds]


def check_alike(requests: Sequence[ImageRequest]) -> None:
    """Raises: ValueError, for requests that one call cannot hold: of several seeds, or that differ
    in more than prompts, seed and LoRAs.
    """
    for request in requests:
        if len(request.seeds) != 1:
            raise ValueError(f"found {len(request.seeds)} seeds in a request, expected one")
        common = replace(
            request,
            prompt=requests[0].prompt,
            negative_prompt=requests[0].negative_prompt,
            seeds=requests[0].seeds,
            loras=requests[0].loras,
        )
        if common != requests[0]:
            raise ValueError(
                "found requests that differ in more than prompt, negative prompt, seed and LoRAs"
            )
