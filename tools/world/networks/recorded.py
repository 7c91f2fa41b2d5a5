"""A training step recorded once in a CUDA graph and replayed: a small network's thousands of
kernels need no Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARM_UPS = 3
RAMP = 0.03  # share of the time in which the rate rises


class Recorded:
    """step() computes a loss, its gradients and the update; all its random numbers come from the
    GPU's own generator.

    rates: (optimizer's group, its base rate); on a GPU the group's rate becomes a tensor that the
    graph reads.
    """

    def __init__(self, step: Callable[[], Tensor], groups: Iterable[dict], device: str) -> None:
        self.step = step
        self.device = device
        self.rates: list[tuple[dict, float]] = [(group, float(group["lr"])) for group in groups]
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss = torch.zeros(())
        self.steps = 0
        if device == "cuda":
            self._record()

    def _record(self) -> None:
        for group, base in self.rates:
            group["lr"] = torch.tensor(base * 1e-3, device="cuda")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = self.step()
        self.graph = graph

    def set_rates(self, factor: float) -> None:
        """Every rate is factor × its base."""
        for group, base in self.rates:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor

    def once(self) -> None:
        """One step."""
        if self.graph is None:
            self.loss = self.step()
        else:
            self.graph.replay()
        self.steps += 1

    def run(
        self, seconds: float, told: Callable[[int, float, float], None], every: int = 100
    ) -> None:
        """Steps until the time is over; the rate rises, then falls to nothing.  told(step, loss,
        seconds so far).
        """
        start = time.monotonic()
        while (share := (time.monotonic() - start) / seconds) < 1:
            self.set_rates(min(1.0, (share + 0.002) / RAMP) * max(0.01, 1 - share))
            for _ in range(10 if self.graph else 1):
                self.once()
            if self.steps % every == 0 or self.graph is None:
                # Waits for the GPU, so that the clock is true
                told(self.steps, self.loss.item(), time.monotonic() - start)
