"""Loss scaling: keeps small fp16 gradients from becoming 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError

# torch.amp.GradScaler's
INITIAL_SCALE = 2.0**16
GROWTH_FACTOR = 2.0
BACKOFF_FACTOR = 0.5
GROWTH_INTERVAL = 2000
MIN_SCALE = 2.0**-10  # below it every step overflows, and the training stops


class GradScaler:
    """Dynamic loss scaling for fp16, or plain steps where it is not enabled.

    Alike on every device and version of PyTorch: torch.amp.GradScaler has no CPU before 2.3.
    scale: factor of the loss, 1 where not enabled.
    skipped: steps left out because gradients overflowed.
    Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.2; torch.amp.GradScaler.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.scale = INITIAL_SCALE if enabled else 1.0
        self.skipped = 0
        self._good_steps = 0  # since the scale last changed

    def backward(self, loss: Tensor) -> None:
        """The backward pass of the scaled loss."""
        (loss * self.scale if self.enabled else loss).backward()

    def step(
        self, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], max_norm: float
    ) -> bool:
        """Unscale the gradients, clip them and step; gives False for a step that was left out.

        max_norm: longest norm of all unscaled gradients together; 0 for no clipping.
        Raises: TrainingError, when the scale has fallen so far that every step overflows.
        """
        if self.enabled and not self._unscale(parameters):
            self._back_off()
            return False
        if max_norm:
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()
        if self.enabled:
            self._good_steps += 1
            if self._good_steps == GROWTH_INTERVAL:
                self.scale *= GROWTH_FACTOR
                self._good_steps = 0
        return True

    def _unscale(self, parameters: Sequence[Tensor]) -> bool:
        """Divide the gradients by the scale; gives False when one is not finite."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not grads:
            return True
        torch._foreach_mul_(grads, 1 / self.scale)
        # One sum for each, so that a GPU is waited for once
        sums = torch.stack([grad.sum(dtype=torch.float32) for grad in grads])
        if bool(torch.isfinite(sums).all()):
            return True
        return all(bool(torch.isfinite(grad).all()) for grad in grads)  # a sum may overflow alone

    def _back_off(self) -> None:
        self.scale *= BACKOFF_FACTOR
        self._good_steps = 0
        self.skipped += 1
        if self.scale < MIN_SCALE:
            raise TrainingError(
                f"the loss scale fell to {self.scale:g}, expected 1 or more: every step overflows"
                " fp16. The epochs saved so far are intact. Set training.precision to bf16, or to"
                " fp32 (the WebUI needs --no-half for that), or lower training.unet_lr"
            )

    def figures(self) -> dict[str, float]:
        """For the log: the scale, and the number of steps left out so far."""
        return {"loss_scale": self.scale, "skipped_steps": self.skipped} if self.enabled else {}

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return (
            {"scale": self.scale, "good": self._good_steps, "skipped": self.skipped}
            if self.enabled
            else {}
        )

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot's state."""
        if self.enabled and state:
            self.scale = float(state["scale"])
            self._good_steps = int(state["good"])
            self.skipped = int(state["skipped"])
