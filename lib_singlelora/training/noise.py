"""The diffusion mathematics of a training step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v_prediction"]


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, like.dtype).view(-1, *[1] * (like.dim() - 1))


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Noisy latents x_t = sqrt(ᾱ_t) x_0 + sqrt(1-ᾱ_t) ε.

    latents, noise: (B, 4, H/8, W/8), VAE-scaled.  alpha_bar: (B,), in (0, 1].
    Source: Ho et al. 2020 (DDPM), eq. 4.
    """
    return _per_sample(alpha_bar.sqrt(), latents) * latents + _per_sample((1 - alpha_bar).sqrt(), latents) * noise


def target(latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction: Prediction) -> Tensor:
    """What the network should answer: ε, or v = sqrt(ᾱ_t) ε - sqrt(1-ᾱ_t) x_0.

    Source: Salimans & Ho 2022, section 4 and appendix D.
    """
    if prediction == "epsilon":
        return noise
    return _per_sample(alpha_bar.sqrt(), latents) * noise - _per_sample((1 - alpha_bar).sqrt(), latents) * latents


def signal_to_noise(alpha_bar: Tensor) -> Tensor:
    """SNR(t) = ᾱ_t / (1-ᾱ_t), (B,)."""
    return alpha_bar / (1 - alpha_bar)


def min_snr_weight(alpha_bar: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """Loss weight min(SNR, γ) / SNR, for v-prediction min(SNR, γ) / (SNR + 1), (B,).

    Source: Hang et al. 2023, section 3.4.
    """
    snr = signal_to_noise(alpha_bar)
    return snr.clamp(max=gamma) / (snr if prediction == "epsilon" else snr + 1)


def offset_noise(noise: Tensor, offset: float, generator: torch.Generator) -> Tensor:
    """Noise with a random shift of each channel's mean: ε + offset · N(0, 1) of shape (B, 4, 1, 1).

    Source: N. Guttenberg 2023, "Diffusion with offset noise".
    """
    if not offset:
        return noise
    shift = torch.randn(noise.shape[0], noise.shape[1], 1, 1, generator=generator)
    return noise + offset * shift.to(noise)


def weighted_loss(predicted: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of weight · mean squared error; weight: (B,)."""
    per_sample = (predicted.float() - wanted.float()).square().mean(dim=tuple(range(1, predicted.dim())))
    return (per_sample * weight.to(per_sample)).mean()
