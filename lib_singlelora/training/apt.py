"""APT's weights: timesteps at which the LoRA has overtaken the checkpoint count less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BINS = 10  # of equal width, over all timesteps
NEWEST = 0.1  # share of the newest loss in a bin's average


class AptWeights:
    """The loss weight 1 - γ of each timestep, from averages of two losses in its bin.

        γ = 1 - exp(-T (mean L_ref - mean L_θ)), 0 at least

    L_θ is the network's loss on a sample of the character, L_ref the frozen model's on the same
    noisy latents; a bin that was never seen has γ = 0.
    sensitivity: T.
    length: timesteps of the noise schedule.
    Source: Chae et al. 2025, "APT: Adaptive Personalized Training for Diffusion Models with Limited
        Data", arXiv 2507.02687, its adaptive loss weighting: the indicator γ, ten bins, averages
        that take in a tenth of each loss.  Known to us from a summary, not from its program, so
        that T is left to the user and a sample's weight comes from the steps before its own.  Not
        taken over: augmentation by the same indicator, the statistics of features (representation
        stabilization), and the alignment of attention.
    """

    def __init__(self, sensitivity: float, length: int) -> None:
        self._sensitivity = sensitivity
        self._length = length
        self._own: list[float | None] = [None] * BINS
        self._reference: list[float | None] = [None] * BINS

    def indicators(self) -> list[float]:
        """γ of each bin, 0 to 1."""
        found = []
        for own, reference in zip(self._own, self._reference, strict=True):
            ahead = 0.0 if own is None or reference is None else max(0.0, reference - own)
            found.append(1 - math.exp(-self._sensitivity * ahead))
        return found

    def weights(self, timesteps: Tensor) -> Tensor:
        """1 - γ, fp32 in the shape of the timesteps."""
        by_bin = torch.tensor([1 - value for value in self.indicators()], device=timesteps.device)
        return by_bin[timesteps * BINS // self._length]

    def observe(self, timesteps: Tensor, own: Tensor, reference: Tensor) -> None:
        """Take in the losses of some samples; all (B,)."""
        losses = torch.stack([own.detach().float(), reference.detach().float()]).t().tolist()
        for timestep, (loss, frozen) in zip(timesteps.tolist(), losses, strict=True):
            place = timestep * BINS // self._length
            self._own[place] = _averaged(self._own[place], loss)
            self._reference[place] = _averaged(self._reference[place], frozen)

    def figures(self) -> dict[str, float]:
        """For the log: the mean indicator."""
        return {"apt_indicator": round(sum(self.indicators()) / BINS, 6)}

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {"own": list(self._own), "reference": list(self._reference)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot's state.

        Raises: ValueError, for one that this class does not save.
        """
        self._own = _checked(state["own"])
        self._reference = _checked(state["reference"])


def _averaged(average: float | None, value: float) -> float:
    return value if average is None else average + NEWEST * (value - average)


def _checked(values: Sequence[float | None]) -> list[float | None]:
    numbers = all(value is None or isinstance(value, float) for value in values)
    if len(values) != BINS or not numbers:
        raise ValueError(f"found {values!r}, expected {BINS} averages")
    return list(values)
