"""Loss scaling: keeps small gradients of fp16 from becoming 0."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError

log = logging.getLogger(__name__)
LOST = 2.0**-10  # a scale below which nothing is left to save


class Scaler:
    """torch's GradScaler for a device, or nothing where the numbers need none."""

    def __init__(self, device: str, wanted: bool) -> None:
        kind = torch.device(device).type
        self._scaler: Any = None
        if wanted and hasattr(torch.amp, "GradScaler"):
            self._scaler = torch.amp.GradScaler(kind)
        elif wanted and kind == "cuda":  # torch before 2.3
            self._scaler = torch.cuda.amp.GradScaler()

    def backward(self, loss: Tensor) -> None:
        """The backward pass of the scaled loss."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def step(self, optimizer: torch.optim.Optimizer, parameters: list[Tensor], longest: float) -> bool:
        """Clip to the longest norm (0: not) and step; false when the step was left out because gradients overflowed.

        Raises: TrainingError, when the scale is lost: every step overflows.
        """
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        if longest:
            torch.nn.utils.clip_grad_norm_(parameters, longest)
        if self._scaler is None:
            optimizer.step()
            return True
        before = self._scaler.get_scale()
        self._scaler.step(optimizer)
        self._scaler.update()
        now = self._scaler.get_scale()
        if now < LOST:
            raise TrainingError(f"the loss scale fell to {now:g}, expected 1 or more: every step overflows fp16. The epochs "
                                "saved so far are whole. Set training.precision to bf16 or fp32, or lower training.unet_lr")
        return bool(now >= before)

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def load(self, state: dict[str, Any]) -> None:
        """From the snapshot."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(state)
