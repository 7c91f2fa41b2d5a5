"""A TrainingModel of a few hundred weights, for formulas that need no Stable Diffusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lib_singlelora.host import Conditioning, Part
from lib_singlelora.naming.blocks import SD1, BlockLayout

TARGET = "input_blocks.1.1.proj_in"


class TinyModel:
    """One 1x1 convolution as the U-Net; a prompt's conditioning is its length."""

    recording_obstacle = ""

    def __init__(self, prediction: Literal["epsilon", "v_prediction"] = "epsilon") -> None:
        self.layout: BlockLayout = SD1
        self.prediction: Literal["epsilon", "v_prediction"] = prediction
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.alphas_cumprod = torch.cumprod(1 - betas, 0).float()
        torch.manual_seed(3)
        self.unet = nn.Conv2d(4, 4, 1).requires_grad_(False)

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def compute_dtype(self) -> torch.dtype:
        return torch.float32

    def set_aside(self, *parts: Part) -> None:
        """There is no GPU."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(pixels, 8).repeat(1, 2, 1, 1)[:, :4]

    def decode_latents(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(latents[:, :3], scale_factor=8).clamp(-1, 1)

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.replace(",", " ,").split())

    def token_positions(self, prompt: str, part: str) -> list[int]:
        words = prompt.replace(",", " ,").split()
        return [words.index(part)] if part in words else []

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        return Conditioning(torch.tensor([[[float(len(prompt))]] for prompt in prompts]))

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        shift = conditioning.context.view(-1, 1, 1, 1) / 50 + timesteps.view(-1, 1, 1, 1) / 1000
        answer: Tensor = self.unet(noisy) + shift
        return answer

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        yield TARGET, self.unet

    def blocks(self) -> Iterator[nn.Module]:
        yield self.unet
