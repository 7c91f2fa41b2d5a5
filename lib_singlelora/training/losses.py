"""The distance of the network's prediction from its target."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .noise import signal_to_noise

Loss = Literal["l2", "huber", "smooth_l1"]


def huber_c(
    schedule: str, least: float, timesteps: Tensor, alpha_bar: Tensor, length: int
) -> Tensor:
    """c of the pseudo-Huber losses at each timestep, (B,): where the square turns into a line.

    schedule: `constant`: least everywhere.
        `exponential`: from 1 at timestep 0 down to least at the last.
        `snr`: from 1 without noise down to least in pure noise.
    timesteps: (B,).
    alpha_bar: (B,), in (0, 1].
    length: timesteps of the noise schedule.
    Source: Khrapov et al. 2024, "Improving Diffusion Models's Data-Corruption Resistance using
    Scheduled Pseudo-Huber Loss"; sd-scripts v0.9.1 train_util.get_timesteps_and_huber_c.
    """
    if schedule == "exponential":
        return torch.exp(math.log(least) / length * timesteps.to(alpha_bar))
    if schedule == "snr":
        sigma = (1 / signal_to_noise(alpha_bar)).sqrt()
        return (1 - least) / (1 + sigma) ** 2 + least
    return torch.full_like(alpha_bar, least)


def elementwise(kind: Loss, predicted: Tensor, target: Tensor, c: Tensor) -> Tensor:
    """The loss of each value, fp32, in the shape of the prediction; d = predicted - target.

    l2: d².
    huber: 2c (sqrt(d² + c²) - c).
    smooth_l1: 2 (sqrt(d² + c²) - c).
    predicted, target: (B, …).
    c: (B,), used by the pseudo-Huber losses.
    Source: Khrapov et al. 2024; sd-scripts v0.9.1 train_util.conditional_loss.
    """
    square = (predicted.float() - target.float()).square()
    if kind == "l2":
        return square
    c = c.to(square).view(-1, *[1] * (square.dim() - 1))
    smooth_l1 = 2 * ((square + c.square()).sqrt() - c)
    return c * smooth_l1 if kind == "huber" else smooth_l1


def mask_weight(mask: Tensor, size: tuple[int, int], floor: float) -> Tensor:
    """Weight of each latent, (B, 1, h, w): 1 inside the mask, `floor` outside.

    mask: (B, 1, H, W), 0 to 1.
    size: (h, w).
    floor: 0 to 1.
    """
    return floor + (1 - floor) * F.interpolate(mask, size, mode="area")


def per_sample_loss(losses: Tensor, mask: Tensor | None = None) -> Tensor:
    """mean(mask · loss) of each sample, (B,).

    losses: (B, …).
    mask: broadcast over the losses.
    """
    masked = losses if mask is None else losses * mask.to(losses)
    return masked.mean(dim=tuple(range(1, losses.dim())))


def weighted_mean(per_sample: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of weight · loss, a scalar.  per_sample, weight: (B,)."""
    return (per_sample * weight.to(per_sample)).mean()
