"""Frozen weights kept at half their size between uses, on a CPU; every value is computed with as it
was.

Most checkpoints are files of fp16, and computing in fp32 doubles them.  A block's weights are
written out in fp32 when it is called, into memory that the next block takes over; the backward pass
of gradient checkpointing calls the block again, so that one block at a time is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .allocator import give_back

# Blocks between two times that freed memory goes back to the system: a full-size step peaks at 3.7
# GB then and takes a fifth longer; without it the heap (allocator.py) keeps 5.0 GB.
TURNS = 4
LINE = 16  # fp32 numbers: weights start where the processor's cache lines do, as PyTorch's own do


@dataclass(frozen=True)
class _Packed:
    """A weight in fp16.  offset: where in the shared memory it is written out."""

    parameter: nn.Parameter
    half: Tensor
    offset: int


class _Memory:
    """One block's weights in fp32; whose they are."""

    def __init__(self) -> None:
        self.buffer = torch.empty(0)
        self.owner: list[_Packed] = []
        self.turns = 0

    def write_out(self, weights: list[_Packed]) -> None:
        if weights is self.owner:
            return
        self.fold()
        self.turns += 1
        if self.turns % TURNS == 0:
            give_back()  # what the last blocks needed; kept, the peak would be a quarter higher
        for weight in weights:
            half = weight.half
            place = self.buffer[weight.offset : weight.offset + half.numel()].as_strided(
                half.shape, half.stride(), weight.offset
            )
            weight.parameter.data = place.copy_(half)
        self.owner = weights

    def fold(self) -> None:
        for weight in self.owner:
            weight.parameter.data = weight.half
        self.owner = []


@contextmanager
def fp16_storage(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, the blocks' frozen fp32 weights that fp16 holds exactly lie in fp16 and are
    written out block by block.

    For gradient checkpointing, which must be entered inside: without it the backward pass would
    meet other blocks' weights. Works on instances, so that the host's classes and patches stay as
    they are; layouts of weights are kept.
    """
    memory, size = _Memory(), 0
    every: list[list[_Packed]] = []
    changed: list[tuple[nn.Module, Any]] = []
    try:
        for block in blocks:
            weights: list[_Packed] = []
            # Before it is filled, so that an error in the middle loses nothing
            every.append(weights)
            size = max(size, _pack(block, weights))
            if not weights:
                continue
            changed.append((block, block.__dict__.get("forward")))
            block.forward = _written_out(block.forward, memory, weights)
        memory.buffer = torch.empty(size)
        give_back()  # the room of the weights in fp32
        yield
    finally:
        memory.fold()
        memory.buffer = torch.empty(0)  # its room goes to the weights
        for block, had in changed:
            if had is None:
                del block.__dict__["forward"]
            else:
                block.forward = had
        while every:  # each half goes as soon as its weight is back
            for weight in every.pop():
                weight.parameter.data = weight.half.float()


def _pack(block: nn.Module, weights: list[_Packed]) -> int:
    """Add the block's weights, now in fp16; how many numbers they are.

    A block's lie together: between them the heap would keep holes, each with a large page half used
    at either end.
    """
    wanted = [parameter for parameter in block.parameters() if _packable(parameter)]
    slab = torch.empty(sum(_room(parameter) for parameter in wanted), dtype=torch.float16)
    offset = 0
    for parameter in wanted:
        value = parameter.data
        # Its layout is kept
        half = slab.as_strided(value.shape, value.stride(), offset).copy_(value)
        if torch.equal(half.float(), value):
            weights.append(_Packed(parameter, half, offset))
            parameter.data = half
            offset += _room(parameter)
    return offset


def _packable(parameter: nn.Parameter) -> bool:
    value = parameter.data
    dense = value.is_contiguous() or value.is_contiguous(memory_format=torch.channels_last)
    return (
        dense
        and not parameter.requires_grad
        and value.dtype == torch.float32
        and value.device.type == "cpu"
    )


def _room(parameter: nn.Parameter) -> int:
    return -(-parameter.numel() // LINE) * LINE


def _written_out(
    forward: Callable[..., Any], memory: _Memory, weights: list[_Packed]
) -> Callable[..., Any]:
    def call(*inputs: Any, **named: Any) -> Any:
        memory.write_out(weights)
        return forward(*inputs, **named)

    return call
