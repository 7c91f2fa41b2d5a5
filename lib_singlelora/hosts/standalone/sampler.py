"""The denoising loop around diffusers' schedulers: txt2img, img2img, inpainting of latents."""

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
    """Where img2img and inpainting start.

    latents: (1, 4, h, w), of the picture.
    denoise: denoising strength, 0 to 1.
    mask: (1, 1, h, w), 1 is redrawn; None redraws all.
    fill: the masked latents before noise is added: "" keeps them, "noise", or "nothing" for zeros.
    """

    latents: Tensor
    denoise: float
    mask: Tensor | None
    fill: str = ""

    def filled(self, noise: Tensor) -> Tensor:
        """The latents with their masked part filled."""
        if not self.fill or self.mask is None:
            return self.latents
        content = noise * self.mask if self.fill == "noise" else 0
        return self.latents * (1 - self.mask) + content


def make_scheduler(
    name: str,
    beta_start: float,
    beta_end: float,
    timesteps: int,
    prediction: str = "epsilon",
    zero_terminal_snr: bool = False,
) -> Any:
    """A new scheduler of that name for SD's scaled-linear betas.

    zero_terminal_snr: they are rescaled so that the last timestep is pure noise.
    """
    scheduler_class, options = SAMPLERS[name]
    return scheduler_class(
        num_train_timesteps=timesteps,
        beta_start=beta_start,
        beta_end=beta_end,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        rescale_betas_zero_snr=zero_terminal_snr,
        **options,
    )


def noise_for(seeds: Sequence[int], shape: tuple[int, ...]) -> tuple[Tensor, list[torch.Generator]]:
    """Noise (B, *shape), and the generators of later noise: one per picture, by its own seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return noise, generators


def noised(scheduler: Any, latents: Tensor, noise: Tensor, index: int) -> Tensor:
    """Latents at the noise level before step `index`, scaled as the scheduler keeps them.

    After the last step: the latents themselves.
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
    on_step: Callable[[int, int], None],
) -> Tensor:
    """Latents of the finished pictures, (B, 4, h, w).

    predict: the guided noise of (latents, timestep).
    on_step: called with (done, total) before every step and at the end; may raise.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    first = 0
    if start is None:
        latents = noised(scheduler, torch.zeros_like(noise), noise, 0)
    else:
        # As in the WebUI: int(denoise * steps) + 1 steps are walked.
        first = max(0, steps - int(min(start.denoise, 0.999) * steps) - 1)
        latents = noised(scheduler, start.filled(noise).expand_as(noise), noise, first)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    options = {}
    if isinstance(scheduler, EulerAncestralDiscreteScheduler):
        options["generator"] = generators
    total = len(scheduler.timesteps) - first
    for index, timestep in enumerate(scheduler.timesteps[first:], start=first):
        on_step(index - first, total)
        guided = predict(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(guided, timestep, latents, **options).prev_sample
        if start is not None and start.mask is not None:
            kept = noised(scheduler, start.latents.expand_as(noise), noise, index + 1)
            latents = latents * start.mask + kept * (1 - start.mask)
    on_step(total, total)
    return latents
