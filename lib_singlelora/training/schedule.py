"""Learning-rate schedules."""

from __future__ import annotations

import math


def warmup_steps(warmup: float, total: int) -> int:
    """Steps of the warm-up: below 1 `warmup` is a share of all, from 1 on a number of steps."""
    return min(total, round(warmup * total if warmup < 1 else warmup))


def learning_rate_factor(
    name: str, step: int, total: int, warmup: float, restarts: int = 1, power: float = 1.0
) -> float:
    """Factor of the learning rate at a step, 0 to 1.

    Over n steps of warm-up it rises linearly from 1/n, then it follows the schedule.
    step: 0-based.
    total: steps of the whole training.
    warmup: as in `warmup_steps`.
    restarts: cycles of cosine_with_restarts.
    power: of polynomial.
    Sources: transformers.optimization for the first five; Chen et al. 2019 for rex.
    """
    rise = warmup_steps(warmup, total)
    if step < rise:
        return (step + 1) / rise
    share = (step - rise) / max(1, total - rise)
    if name == "linear":
        return 1 - share
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * share))
    if name == "cosine_with_restarts":
        return 0.5 * (1 + math.cos(math.pi * (share * restarts % 1)))
    if name == "polynomial":
        return float((1 - share) ** power)
    if name == "rex":
        return (1 - share) / (1 - share / 2)
    return 1.0
