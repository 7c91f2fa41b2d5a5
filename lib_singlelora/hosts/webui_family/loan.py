"""What every lending of networks does: nothing takes a gradient, and memory is given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from modules import devices
from torch import nn


def give_memory_back() -> None:
    """Memory to the GPU's other users and to the system.

    glibc keeps gigabytes of a training's freed activations otherwise.
    """
    gc.collect()
    devices.torch_gc()
    trim()


def trim() -> None:
    """Freed memory back to the system."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def frozen(parts: Iterable[nn.Module]) -> Iterator[None]:
    """No parameter takes a gradient and ldm's own gradient checkpointing is off while inside.

    ldm's checkpointing asks for the gradients of frozen weights too, and fails.
    """
    parts = list(parts)
    modules = [module for part in parts for module in part.modules()]
    flags = [
        (parameter, parameter.requires_grad) for part in parts for parameter in part.parameters()
    ]
    modes = [(module, module.training) for module in modules]
    checkpointing = [
        (module, name)
        for module in modules
        for name in ("checkpoint", "use_checkpoint")
        if module.__dict__.get(name) is True
    ]
    try:
        for part in parts:
            part.requires_grad_(False)
            part.eval()
        for module, name in checkpointing:
            setattr(module, name, False)
        yield
    finally:
        for module, name in checkpointing:
            setattr(module, name, True)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for module, mode in modes:
            module.training = mode
