"""The average of a LoRA's weights over its last steps: steadier than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a network's parameters, in fp32 beside them.

    decay: share of the average that a step keeps, 0 to 1; the first steps keep less,
    (1 + n) / (10 + n) after n, so that the average does not drag the untrained start along.
    Source: Polyak & Juditsky 1992; the ramp is TensorFlow's tf.train.ExponentialMovingAverage.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._kept: dict[str, Tensor] = {
            name: p.detach().clone() for name, p in network.named_parameters()
        }

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step's weights in."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, parameter in network.named_parameters():
            self._kept[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network holds the average while inside, then the very tensors that it trains."""
        own = [
            (parameter, parameter.data, self._kept[name])
            for name, parameter in network.named_parameters()
        ]
        try:
            for parameter, _, average in own:
                parameter.data = average
            yield
        finally:
            for parameter, data, _ in own:
                parameter.data = data

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {"steps": self._steps, "kept": self._kept}

    def load(self, state: dict[str, Any]) -> None:
        """From the snapshot."""
        self._steps = int(state["steps"])
        for name, value in state["kept"].items():
            self._kept[name].copy_(value)
