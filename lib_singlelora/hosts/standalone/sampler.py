"""The denoising loop around diffusers' schedulers: txt2img, img2img, inpaint with masked latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
)
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]

# Spacing as in k-diffusion, which the WebUI uses: Karras over the whole range of sigmas, Euler over
# evenly spread timesteps.
SAMPLERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "DPM++ 2M Karras": (
        DPMSolverMultistepScheduler,
        {"use_karras_sigmas": True, "timestep_spacing": "linspace"},
    ),
    "Euler a": (EulerAncestralDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "Euler": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "DDIM": (
        DDIMScheduler,
        {
            "timestep_spacing": "leading",
            "steps_offset": 1,
            "clip_sample": False,
            "set_alpha_to_one": False,
        },
    ),
}


@dataclass(frozen=True)
class Img2ImgStart:
    """Where img2img and inpainting start.  latents: (1, 4, h, w).  mask: (1, 1, h, w), 1 is
    redrawn; None: all.

    fill: what the masked latents are before noise is added: "" keeps them, "noise", "nothing" for
        zeros.
    """

    latents: Tensor
    denoise: float
    mask: Tensor | None
    fill: str = ""


def make_scheduler(
    name: str, beta_start: float, beta_end: float, timesteps: int, prediction: str = "epsilon"
) -> Any:
    """A fresh scheduler of that name for SD's scaled-linear betas."""
    kind, options = SAMPLERS[name]
    return kind(
        num_train_timesteps=timesteps,
        beta_start=beta_start,
        beta_end=beta_end,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        **options,
    )


def noise_for(seeds: Sequence[int], shape: tuple[int, ...]) -> tuple[Tensor, list[torch.Generator]]:
    """Noise (B, *shape), and the generators for later noise: a picture depends on its own seed
    alone.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return (
        torch.stack([torch.randn(shape, generator=generator) for generator in generators]),
        generators,
    )


def noised(scheduler: Any, latents: Tensor, noise: Tensor, index: int) -> Tensor:
    """Latents at the noise level before step `index`, scaled as the scheduler keeps them; after the
    last step: clean.
    """
    if isinstance(scheduler, DDIMScheduler):
        if index >= len(scheduler.timesteps):
            return latents
        alpha_bar: Tensor = scheduler.alphas_cumprod[scheduler.timesteps[index]].to(latents)
        return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
    sigma: Tensor = scheduler.sigmas[index].to(latents)
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        return (latents + sigma * noise) / (1 + sigma**2).sqrt()
    return latents + sigma * noise


def denoise(
    scheduler: Any,
    predict: Predict,
    noise: Tensor,
    generators: list[torch.Generator],
    steps: int,
    start: Img2ImgStart | None,
    each: Callable[[int, int], None],
) -> Tensor:
    """Latents of the finished pictures, (B, 4, h, w).

    predict(latents, timestep) gives the guided noise.  each(done, total) is called before every
    step and may raise.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    first = 0
    if start is None:
        latents = noised(scheduler, torch.zeros_like(noise), noise, 0)
    else:
        # As in the WebUI: int(denoise * steps) + 1 steps are walked.
        first = max(0, steps - int(min(start.denoise, 0.999) * steps) - 1)
        origin = start.latents
        if start.fill and start.mask is not None:
            origin = origin * (1 - start.mask) + (
                noise * start.mask if start.fill == "noise" else 0
            )
        latents = noised(scheduler, origin.expand_as(noise), noise, first)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    total = len(scheduler.timesteps) - first
    for index, timestep in enumerate(scheduler.timesteps[first:], start=first):
        each(index - first, total)
        scaled = scheduler.scale_model_input(latents, timestep)
        guided = predict(scaled, timestep)
        extra = (
            {"generator": generators}
            if isinstance(scheduler, EulerAncestralDiscreteScheduler)
            else {}
        )
        latents = scheduler.step(guided, timestep, latents, **extra).prev_sample
        if start is not None and start.mask is not None:
            kept = noised(scheduler, start.latents.expand_as(noise), noise, index + 1)
            latents = latents * start.mask + kept * (1 - start.mask)
    each(total, total)
    return latents
