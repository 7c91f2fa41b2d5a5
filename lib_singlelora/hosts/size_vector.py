"""The vector that a family such as SDXL is conditioned on beside the context."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..families.family import SIZE_WIDTH
from ..host import Conditioning

PERIOD = 10_000.0


def size_vector(conditioning: Conditioning, latents: Tensor) -> Tensor:
    """Pooled text and embedded sizes, (B, P + 6 · 256).

    latents: (B, 4, h, w), whose sizes stand for those that the conditioning lacks.

    Source: Stability-AI/generative-models, sgm/modules/encoders/modules.py,
        ConcatTimestepEmbedderND.
    """
    assert conditioning.pooled is not None
    pooled = conditioning.pooled
    embedded = embedded_numbers(sizes_of(conditioning, latents))
    return torch.cat([pooled, embedded.to(pooled)], dim=1)


def sizes_of(conditioning: Conditioning, latents: Tensor) -> Tensor:
    """Sizes (B, 6) of a conditioning, or of whole pictures of the latents' size."""
    if conditioning.sizes is not None:
        return conditioning.sizes.to(latents.device)
    height, width = (8 * side for side in latents.shape[-2:])
    numbers = torch.tensor([height, width, 0, 0, height, width], device=latents.device)
    return numbers.float().expand(len(latents), -1)


def embedded_numbers(numbers: Tensor) -> Tensor:
    """Cosines, then sines of each number, (B, n · 256), of numbers (B, n)."""
    half = SIZE_WIDTH // 2
    exponents = torch.arange(half, dtype=torch.float32, device=numbers.device) / half
    angles = numbers.float()[..., None] * torch.exp(-math.log(PERIOD) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1).flatten(1)
