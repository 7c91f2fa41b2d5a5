"""The diffusion mathematics of a training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Prediction = Literal["epsilon", "v_prediction"]


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, like.dtype).view(-1, *[1] * (like.dim() - 1))


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Noisy latents x_t = sqrt(ᾱ_t) x_0 + sqrt(1-ᾱ_t) ε.

    latents, noise: (B, 4, H/8, W/8), VAE-scaled.
    alpha_bar: (B,), in (0, 1].
    Source: Ho et al. 2020 (DDPM), eq. 4.
    """
    return (
        _per_sample(alpha_bar.sqrt(), latents) * latents
        + _per_sample((1 - alpha_bar).sqrt(), latents) * noise
    )


def target(latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction: Prediction) -> Tensor:
    """The network's target: ε, or v = sqrt(ᾱ_t) ε - sqrt(1-ᾱ_t) x_0.

    latents, noise: (B, 4, H/8, W/8), VAE-scaled.
    alpha_bar: (B,), in (0, 1].
    Source: Salimans & Ho 2022, section 4 and appendix D.
    """
    if prediction == "epsilon":
        return noise
    return (
        _per_sample(alpha_bar.sqrt(), latents) * noise
        - _per_sample((1 - alpha_bar).sqrt(), latents) * latents
    )


def signal_to_noise(alpha_bar: Tensor) -> Tensor:
    """SNR(t) = ᾱ_t / (1-ᾱ_t), (B,).  alpha_bar: (B,), in (0, 1)."""
    return alpha_bar / (1 - alpha_bar)


def min_snr_weight(alpha_bar: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """Loss weight min(SNR, γ) / SNR, for v-prediction min(SNR, γ) / (SNR + 1), (B,).

    alpha_bar: (B,), in (0, 1).
    gamma: γ, usually 5.
    Source: Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting Strategy",
        section 3.4.
    """
    snr = signal_to_noise(alpha_bar)
    return snr.clamp(max=gamma) / (snr if prediction == "epsilon" else snr + 1)


def debiased_weight(alpha_bar: Tensor, prediction: Prediction) -> Tensor:
    """Loss weight 1 / sqrt(min(SNR, 1000)), for v-prediction 1 / (SNR + 1), (B,).

    alpha_bar: (B,), in (0, 1).
    Source: Yu et al. 2024, "Debias the Training of Diffusion Models"; sd-scripts
    library/custom_train_functions.py.
    """
    snr = signal_to_noise(alpha_bar).clamp(max=1000)
    return 1 / snr.sqrt() if prediction == "epsilon" else 1 / (snr + 1)


def band_weights(weights: Sequence[float], length: int) -> Tensor:
    """Loss weight of each timestep, (length,), by equal bands of timesteps; their mean is 1.

    weights: of the bands from timestep 0 on, 0 or more, one above 0.
    length: timesteps of the noise schedule.
    """
    bands = torch.arange(length) * len(weights) // length
    values = torch.tensor(weights, dtype=torch.float64)[bands]
    return (values / values.mean()).float()


def zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """The noise schedule moved so that its last timestep is pure noise, (T,).

    alphas_cumprod: (T,), falling, in (0, 1].
    Source: Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed",
    algorithm 1.
    """
    root = alphas_cumprod.double().sqrt()
    moved = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return moved.square().to(alphas_cumprod)


def offset_noise(noise: Tensor, offset: float, generator: torch.Generator) -> Tensor:
    """Noise with a random shift of each channel's mean: ε + offset · N(0, 1) of shape (B, 4, 1, 1).

    noise: (B, 4, H/8, W/8).
    offset: usually 0 to 0.1; 0 draws nothing.
    Source: N. Guttenberg 2023, "Diffusion with offset noise".
    """
    if not offset:
        return noise
    shift = torch.randn(noise.shape[0], noise.shape[1], 1, 1, generator=generator)
    return noise + offset * shift.to(noise)


def multires_noise(
    noise: Tensor, iterations: int, discount: float, generator: torch.Generator
) -> Tensor:
    """Noise with coarser noise mixed in, scaled to a standard deviation of 1.

    Octave i is drawn at 1 / r^i of the size, r uniform in 2 to 4, and added with a factor of
    discount^i; the last is the first that is a single pixel wide or high.
    noise: (B, 4, H/8, W/8).
    iterations: octaves at most; 0 draws nothing.
    discount: 0 to 1.
    Source: J. Whitaker 2023, "Multi-resolution noise for diffusion model training".
    """
    if not iterations:
        return noise
    batch, channels, height, width = noise.shape
    mixed = noise
    for octave in range(iterations):
        ratio = (2 + 2 * float(torch.rand((), generator=generator))) ** octave
        size = max(1, int(height / ratio)), max(1, int(width / ratio))
        coarse = torch.randn(batch, channels, *size, generator=generator)
        mixed = mixed + F.interpolate(coarse, (height, width), mode="bilinear") * discount**octave
        if 1 in size:
            break
    return mixed / mixed.std()
