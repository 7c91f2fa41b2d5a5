"""The standalone host's networks, lent for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from ...host import Conditioning
from ...naming.blocks import BlockLayout
from ...naming.keys import diffusers_to_canonical
from ..clip import encode
from .loading import Networks


def targets_of(networks: Networks) -> Iterator[tuple[str, nn.Module]]:
    """(canonical name, module) of every Linear and Conv2d of the text encoder and the U-Net."""
    for name, module in networks.text.named_modules():
        if isinstance(module, nn.Linear):
            yield f"text_model.{name}", module
    for name, module in networks.unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield diffusers_to_canonical(name, networks.layout), module


class StandaloneTrainingModel:
    """A TrainingModel on diffusers' networks."""

    def __init__(self, networks: Networks, device: str) -> None:
        self._networks, self._device = networks, device
        self.layout: BlockLayout = networks.layout
        self.prediction: Literal["epsilon", "v_prediction"] = networks.prediction
        self.alphas_cumprod = networks.alphas_cumprod

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return self._device

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents (B, 4, H/8, W/8)."""
        own = pixels.to(self._device, next(self._networks.vae.parameters()).dtype)
        mode: Tensor = self._networks.vae.encode(own).latent_dist.mode()
        return mode * self._networks.scale

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to context (B, 77k, D)."""
        return Conditioning(encode(self._networks.text, self._networks.tokenizer, prompts, clip_skip, self._device))

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's noise for latents (B, 4, h, w) at timesteps (B,)."""
        dtype = next(self._networks.unet.parameters()).dtype
        answer: Tensor = self._networks.unet(noisy.to(dtype), timesteps, conditioning.context.to(dtype)).sample
        return answer

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d."""
        return targets_of(self._networks)


@contextmanager
def frozen(networks: Networks) -> Iterator[None]:
    """Freeze every parameter while inside; flags and modes are what they were after the exit.

    The weights stay in the mode for evaluation: SD's U-Net has no dropout, CLIP's is 0.
    """
    modules: list[nn.Module] = [networks.unet, networks.vae, networks.text]
    flags = [(parameter, parameter.requires_grad) for module in modules for parameter in module.parameters()]
    modes = [(child, child.training) for module in modules for child in module.modules()]
    try:
        for module in modules:
            module.requires_grad_(False)
            module.eval()
        with torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for child, mode in modes:
            child.training = mode
