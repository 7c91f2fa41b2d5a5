"""Learning-rate factors over a training."""

from __future__ import annotations

import math


def learning_rate_factor(name: str, step: int, total: int, warmup: float) -> float:
    """Factor of the learning rate at a step (0-based): a linear rise from 1/n over the warm-up, then the schedule.

    total: steps of the whole training.  warmup: share of them, 0 to 1.
    """
    rising = round(total * warmup)
    if step < rising:
        return (step + 1) / rising
    share = (step - rising) / max(1, total - rising)
    if name == "linear":
        return 1 - share
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * share))
    return 1.0
