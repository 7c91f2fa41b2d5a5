"""Frozen fp32 weights kept in fp16 between uses, on a CPU; every value is computed with as it was.

Most checkpoints are files of fp16, and computing in fp32 doubles them.  A block's weights are
unpacked to fp32 when it is called, into memory that the next block takes over; the backward pass of
gradient checkpointing calls the block again, so that one block at a time is unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .allocator import give_back
from .patch import patched

# Blocks between two times that freed memory goes back to the system: a full-size step peaks at 3.7
# GB then and takes a fifth longer; without it the heap (allocator.py) keeps 5.0 GB.
BLOCKS_PER_TRIM = 4
# fp32 numbers: weights start where the processor's cache lines do, as PyTorch's own do
ALIGNMENT = 16


@dataclass(frozen=True)
class _HalfWeight:
    """A weight that lies in fp16.

    half: its values, of the parameter's shape and strides.
    was_half: it lay so before.
    offset: where it is unpacked in the shared buffer, in numbers.
    """

    parameter: nn.Parameter
    half: Tensor
    offset: int
    was_half: bool = False


class _SharedBuffer:
    """fp32 memory for one block's weights, and which block's are in it."""

    def __init__(self) -> None:
        self.size = 0  # numbers: of the largest block
        self._buffer = torch.empty(0)
        self._unpacked: list[_HalfWeight] = []
        self._blocks = 0

    def allocate(self) -> None:
        self._buffer = torch.empty(self.size)

    def unpack(self, weights: list[_HalfWeight]) -> None:
        if weights is self._unpacked:
            return
        self.pack()
        self._blocks += 1
        if self._blocks % BLOCKS_PER_TRIM == 0:
            give_back()  # what the last blocks needed; kept, the peak would be a quarter higher
        for weight in weights:
            half = weight.half
            view = self._buffer[weight.offset : weight.offset + half.numel()].as_strided(
                half.shape, half.stride(), weight.offset
            )
            weight.parameter.data = view.copy_(half)
        self._unpacked = weights

    def pack(self) -> None:
        for weight in self._unpacked:
            weight.parameter.data = weight.half
        self._unpacked = []

    def free(self) -> None:
        self.pack()
        self._buffer = torch.empty(0)


@contextmanager
def fp16_storage(blocks: Iterable[nn.Module], halves: bool = False) -> Iterator[None]:
    """While inside, the blocks' frozen fp32 weights that fp16 holds exactly lie in fp16.

    halves: weights that lie in half precision already are unpacked for a block's call too, so that
        it computes in fp32; no copy of them is made.
    For gradient checkpointing, which must be entered inside: without it the backward pass would
    meet other blocks' weights.  Works on instances, so that the host's classes and patches stay as
    they are; layouts of weights are kept.
    """
    shared = _SharedBuffer()
    packed: list[list[_HalfWeight]] = []

    def patches() -> Iterator[tuple[nn.Module, str, Callable[..., Any]]]:
        for block in blocks:
            weights: list[_HalfWeight] = []
            packed.append(weights)  # before it is filled, so that an error midway loses nothing
            shared.size = max(shared.size, _pack(block, weights, halves))
            if weights:
                yield block, "forward", _unpacking(block.forward, shared, weights)

    try:
        with patched(patches()):
            shared.allocate()
            give_back()  # the room of the weights in fp32
            yield
    finally:
        shared.free()  # its room goes to the weights
        while packed:  # each half goes as soon as its weight is back
            for weight in packed.pop():
                weight.parameter.data = weight.half if weight.was_half else weight.half.float()


def _pack(block: nn.Module, weights: list[_HalfWeight], halves: bool) -> int:
    """Add the block's weights, now in fp16; gives the numbers that unpacking them takes.

    A block's lie together: between them the heap would keep holes, each with a large page half used
    at either end.
    """
    parameters = [parameter for parameter in block.parameters() if _packable(parameter)]
    # Before those below become halves too
    already_half = [each for each in block.parameters() if _is_half(each)] if halves else []
    total = sum(_aligned_size(parameter) for parameter in parameters)
    slab = torch.empty(total, dtype=torch.float16)
    offset = 0
    for parameter in parameters:
        value = parameter.data
        # Its layout is kept
        half = slab.as_strided(value.shape, value.stride(), offset).copy_(value)
        if torch.equal(half.float(), value):
            weights.append(_HalfWeight(parameter, half, offset))
            parameter.data = half
            offset += _aligned_size(parameter)
    for parameter in already_half:
        weights.append(_HalfWeight(parameter, parameter.data, offset, True))
        offset += _aligned_size(parameter)
    return offset


def _is_half(parameter: nn.Parameter) -> bool:
    value = parameter.data
    return (
        _dense(value)
        and not parameter.requires_grad
        and value.dtype in (torch.float16, torch.bfloat16)
        and value.device.type == "cpu"
    )


def _dense(value: Tensor) -> bool:
    channels_last = value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
    return value.is_contiguous() or channels_last


def _packable(parameter: nn.Parameter) -> bool:
    value = parameter.data
    return (
        _dense(value)
        and not parameter.requires_grad
        and value.dtype == torch.float32
        and value.device.type == "cpu"
    )


def _aligned_size(parameter: nn.Parameter) -> int:
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


def _unpacking(
    forward: Callable[..., Any], shared: _SharedBuffer, weights: list[_HalfWeight]
) -> Callable[..., Any]:
    def call(*inputs: Any, **named: Any) -> Any:
        shared.unpack(weights)
        return forward(*inputs, **named)

    return call
