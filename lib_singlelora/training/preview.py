"""A small sampler on the networks that train, so that samples need no second copy of them."""

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
    """One square picture (1, 3, side, side) in [-1, 1], by deterministic DDIM.

    The network must be attached; it is put in evaluation for the picture.  Source: Song et al.
    2021, eq. 12 with σ = 0.
    Source: Song et al. 2021, eq. 12 with σ = 0.
    """
    training = network.training
    network.eval()
    try:
        texts = model.encode_prompts([negative_prompt, prompt], clip_skip)
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(1, 4, side // 8, side // 8, generator=generator).to(model.device)
        alphas = model.alphas_cumprod.to(model.device)
        steps = torch.linspace(len(alphas) - 1, 0, STEPS).round().long()
        for here, after in zip(steps.tolist(), [*steps.tolist()[1:], None], strict=True):
            noise, start = _answer(model, latents, here, texts, alphas[here])
            following = alphas[after] if after is not None else alphas.new_ones(())
            latents = following.sqrt() * start + (1 - following).sqrt() * noise
        return model.decode_latents(latents)
    finally:
        network.train(training)


def _answer(
    model: TrainingModel, latents: Tensor, step: int, texts: Conditioning, alpha_bar: Tensor
) -> tuple[Tensor, Tensor]:
    """(ε, x_0) at a timestep, guided by the difference of the two prompts."""
    timesteps = torch.full((2,), step, device=latents.device)
    without, within = model.predict(latents.repeat(2, 1, 1, 1), timesteps, texts).float().chunk(2)
    answer = without + CFG_SCALE * (within - without)
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if model.prediction == "v_prediction":
        return signal * answer + noise * latents, signal * latents - noise * answer
    return answer, (latents - noise * answer) / signal
