"""Which parts of a checkpoint lie on the device that computes, and which wait on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

CPU = torch.device("cpu")


class Placement:
    """Moves the parts of a checkpoint between the device that computes and the CPU."""

    def __init__(self, parts: Mapping[str, nn.Module], device: str) -> None:
        self._parts = dict(parts)
        self._device = torch.device(device)

    def bring(self, *names: str) -> None:
        """Move parts to the device, unless they are there; the others stay where they are."""
        for name in names:
            _move(self._parts[name], self._device)

    def set_aside(self, *names: str) -> None:
        """Move parts to the CPU, and give their memory back to the device's other users."""
        if self._device == CPU:
            return
        for name in names:
            _move(self._parts[name], CPU)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Every tensor lies where it was after the exit, bit for bit.

        Buffers are restored one by one: a module may have some and no parameters, as CLIP's
        positions.
        """
        parameters = [
            (parameter, parameter.device)
            for part in self._parts.values()
            for parameter in part.parameters()
        ]
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
                for parameter, device in parameters:
                    if parameter.device != device:
                        parameter.data = parameter.data.to(device)
                for module, name, device in buffers:
                    buffer = module._buffers[name]
                    if buffer is not None and buffer.device != device:
                        module._buffers[name] = buffer.to(device)


def _move(part: nn.Module, device: torch.device) -> None:
    first = next(part.parameters(), None)
    if first is not None and not _is_same_device(first.device, device):
        part.to(device)


def _is_same_device(first: torch.device, second: torch.device) -> bool:
    """True if two names mean one device; 'cuda' is taken for any of 'cuda:0' and its like."""
    if first == second:
        return True
    return first.type == second.type == "cuda" and None in (first.index, second.index)
