"""Tensors to a GPU without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(value: Tensor, device: str | torch.device) -> Tensor:
    """The tensor on a device; from the CPU to a GPU behind what that is computing.

    A copy from memory that the system may move would wait for all kernels before it.
    """
    if value.device.type == "cpu" and torch.device(device).type == "cuda":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)
