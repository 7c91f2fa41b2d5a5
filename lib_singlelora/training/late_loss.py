"""A step's loss, read after the next step has begun, so that nothing waits for a GPU."""

from __future__ import annotations

import torch
from torch import Tensor


class LateLoss:
    """A loss on its way from the GPU.

    loss: a scalar; a number is one that has arrived.
    """

    def __init__(self, loss: Tensor | float) -> None:
        self._arrived: torch.cuda.Event | None = None
        if isinstance(loss, Tensor) and loss.is_cuda:
            # Copied behind the step's own kernels: reading a scalar later would wait for those of
            # the next step too
            self._value: Tensor | float = torch.empty((), pin_memory=True)
            self._value.copy_(loss, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._value = loss.clone() if isinstance(loss, Tensor) else loss

    def read(self) -> float:
        """Its value, when the step's kernels have ended."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return float(self._value)
