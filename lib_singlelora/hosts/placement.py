"""Which parts of a checkpoint lie where their passes run, and which wait on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

WAITING = "cpu"


class Placement:
    """Parts by name, the device that computes, and where every tensor was before."""

    def __init__(self, parts: Mapping[str, nn.Module], device: str) -> None:
        self._parts, self._device = dict(parts), torch.device(device)

    def bring(self, *names: str) -> None:
        """The parts to the device, if they are not there; the others stay where they are."""
        for name in names:
            self._move(self._parts[name], self._device)

    def set_aside(self, *names: str) -> None:
        """The parts to the CPU, and their memory back to the device's other users."""
        if self._device == torch.device(WAITING):
            return
        for name in names:
            self._move(self._parts[name], torch.device(WAITING))
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Every tensor lies where it was after the exit, bit for bit.

        Buffers are restored one by one: a module may have some and no parameters, as CLIP's
        positions.
        """
        parameters = [(p, p.device) for part in self._parts.values() for p in part.parameters()]
        buffers = [
            (module, name, buffer.device)
            for part in self._parts.values()
            for module in part.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, place in parameters:
                    if parameter.device != place:
                        parameter.data = parameter.data.to(place)
                for module, name, place in buffers:
                    buffer = module._buffers[name]
                    if buffer is not None and buffer.device != place:
                        module._buffers[name] = buffer.to(place)

    def _move(self, part: nn.Module, device: torch.device) -> None:
        first = next(part.parameters(), None)
        if first is not None and not _same(first.device, device):
            part.to(device)


def _same(one: torch.device, other: torch.device) -> bool:
    """Whether two names mean one device: 'cuda' is the current one of 'cuda:0' and its like."""
    return one == other or (one.type == other.type == "cuda" and None in (one.index, other.index))
