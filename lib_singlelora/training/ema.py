"""The average of a LoRA's weights over its last steps, steadier than those of a single step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a network's parameters: a = d a + (1 - d) w, d at most decay.

    decay: share of the average that a step keeps, 0 to 1; the first steps keep less,
        d = (1 + n) / (10 + n) after n, so that the untrained start is forgotten.
    Source: Polyak & Juditsky 1992; the ramp is TensorFlow's tf.train.ExponentialMovingAverage.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self._averages: dict[str, Tensor] = {
            name: p.detach().clone() for name, p in network.named_parameters()
        }

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, parameter in network.named_parameters():
            self._averages[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """While inside, the network holds the average; afterwards its very own tensors again."""
        swaps = [
            (parameter, parameter.data, self._averages[name])
            for name, parameter in network.named_parameters()
        ]
        try:
            for parameter, _, average in swaps:
                parameter.data = average
            yield
        finally:
            for parameter, data, _ in swaps:
                parameter.data = data

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {"steps": self._steps, "kept": self._averages}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot's state."""
        self._steps = int(state["steps"])
        for name, value in state["kept"].items():
            self._averages[name].copy_(value)
