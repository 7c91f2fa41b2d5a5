"""Loss scaling: keeps small gradients of fp16 from becoming 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError

FIRST = 2.0**16
GROWTH, BACKOFF, INTERVAL = 2.0, 0.5, 2000  # torch.amp.GradScaler's
LOST = 2.0**-10  # a scale below which nothing is left to save


class GradScaler:
    """Dynamic loss scaling, or nothing where the numbers need none.

    Works on every device and version of PyTorch alike; GradScaler is missing on CPUs before 2.3.
    scale: by which the loss is multiplied.  skipped: steps left out because gradients overflowed.
    Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.2; torch.amp.GradScaler.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.scale = FIRST if wanted else 1.0
        self.skipped = 0
        self._good = 0  # steps since the scale last changed

    def backward(self, loss: Tensor) -> None:
        """The backward pass of the scaled loss."""
        (loss * self.scale if self.wanted else loss).backward()  # type: ignore[no-untyped-call]

    def step(
        self, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], longest: float
    ) -> bool:
        """Clip to the longest norm (0: not) and step; false when a step was left out.

        Gradients are divided by the scale first, so that the norm that is clipped is the true one.
        Raises: TrainingError, when the scale is lost: every step overflows.
        """
        if self.wanted and not self._unscale(parameters):
            self._back_off()
            return False
        if longest:
            torch.nn.utils.clip_grad_norm_(parameters, longest)
        optimizer.step()
        if self.wanted:
            self._good += 1
            if self._good == INTERVAL:
                self.scale, self._good = self.scale * GROWTH, 0
        return True

    def _unscale(self, parameters: Sequence[Tensor]) -> bool:
        """Divide the gradients by the scale; false when one is infinite or no number."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not grads:
            return True
        torch._foreach_mul_(grads, 1 / self.scale)
        # One number for all, so that a GPU is waited for once.
        sums = torch.stack([grad.sum(dtype=torch.float32) for grad in grads])
        if bool(torch.isfinite(sums).all()):
            return True
        return all(bool(torch.isfinite(grad).all()) for grad in grads)  # a sum may overflow alone

    def _back_off(self) -> None:
        self.scale, self._good = self.scale * BACKOFF, 0
        self.skipped += 1
        if self.scale < LOST:
            raise TrainingError(
                f"the loss scale fell to {self.scale:g}, expected 1 or more: every step overflows"
                " fp16. The epochs saved so far are whole. Set training.precision to bf16, or to"
                " fp32 (the WebUI wants --no-half for that), or lower training.unet_lr"
            )

    def figures(self) -> dict[str, float]:
        """For the log: the scale, and how many steps were left out so far."""
        return {"loss_scale": self.scale, "skipped_steps": self.skipped} if self.wanted else {}

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return (
            {"scale": self.scale, "good": self._good, "skipped": self.skipped}
            if self.wanted
            else {}
        )

    def load(self, state: dict[str, Any]) -> None:
        """From the snapshot."""
        if self.wanted and state:
            self.scale, self._good, self.skipped = (
                float(state["scale"]),
                int(state["good"]),
                int(state["skipped"]),
            )
