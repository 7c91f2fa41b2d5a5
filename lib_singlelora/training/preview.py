"""A DDIM sampler on the networks that train, so that previews need no second copy of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..host import Conditioning, TrainingModel
from ..lora.network import LoraNetwork

STEPS = 20
CFG_SCALE = 7.0


@torch.no_grad()
def sample(
    model: TrainingModel,
    network: LoraNetwork,
    prompt: str,
    negative_prompt: str,
    seed: int,
    side: int,
    clip_skip: int,
) -> Tensor:
    """One square picture, (1, 3, side, side) in [-1, 1], by deterministic DDIM.

    The network must be attached; it is in evaluation mode for the picture.
    side: pixels, a multiple of 8.
    Source: Song et al. 2021, "Denoising Diffusion Implicit Models", eq. 12 with σ = 0.
    """
    training = network.training
    network.eval()
    try:
        texts = model.encode_prompts([negative_prompt, prompt], clip_skip)
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(1, 4, side // 8, side // 8, generator=generator).to(model.device)
        alphas = model.alphas_cumprod.to(model.device)
        steps = torch.linspace(len(alphas) - 1, 0, STEPS).round().long()
        for step, next_step in zip(steps.tolist(), [*steps.tolist()[1:], None], strict=True):
            noise, start = _guided(model, latents, step, texts, alphas[step])
            alpha_bar = alphas[next_step] if next_step is not None else alphas.new_ones(())
            latents = alpha_bar.sqrt() * start + (1 - alpha_bar).sqrt() * noise
        return model.decode_latents(latents)
    finally:
        network.train(training)


def _guided(
    model: TrainingModel, latents: Tensor, step: int, texts: Conditioning, alpha_bar: Tensor
) -> tuple[Tensor, Tensor]:
    """(ε, x_0) at a timestep with classifier-free guidance; texts: (negative, prompt).

    Source: Ho & Salimans 2022, "Classifier-Free Diffusion Guidance".
    """
    timesteps = torch.full((2,), step, device=latents.device)
    both = model.predict(latents.repeat(2, 1, 1, 1), timesteps, texts).float()
    negative, positive = both.chunk(2)
    predicted = negative + CFG_SCALE * (positive - negative)
    signal = alpha_bar.sqrt()
    noise = (1 - alpha_bar).sqrt()
    if model.prediction == "v_prediction":
        return signal * predicted + noise * latents, signal * latents - noise * predicted
    return predicted, (latents - noise * predicted) / signal
