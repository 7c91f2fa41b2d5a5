"""The widths of the narrow Stable Diffusion 1, and its constants.

Source of the layout: CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

VAE: dict[str, Any] = {"ch": 64, "ch_mult": (1, 1, 2, 2), "num_res_blocks": 1, "z_channels": 4}
UNET: dict[str, Any] = {
    "model_channels": 64,
    "channel_mult": (1, 1, 2, 2),
    "num_res_blocks": 2,
    "num_heads": 4,
    "context_dim": 64,
}
TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 64,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
}
SCALE = 0.18215
NATIVE = 128


def norm(channels: int, eps: float = 1e-6) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=eps)


def zero(module: nn.Module) -> nn.Module:
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


def alphas_cumprod() -> Tensor:
    """SD 1's schedule: betas linear in their square root, 0.00085 to 0.012, 1000 steps."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)
