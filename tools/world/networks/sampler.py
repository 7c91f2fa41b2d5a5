"""The checkpoint drawn from, without any host: DDIM with classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..scenes.prompts import encode, tokens
from .models import NATIVE, SCALE, UNET, Autoencoder, UNet, alphas_cumprod, new_text_encoder


@dataclass
class Checkpoint:
    unet: UNet
    text: nn.Module
    vae: Autoencoder


def assemble(
    unet: dict[str, Tensor], text: dict[str, Tensor], vae: dict[str, Tensor]
) -> Checkpoint:
    """The three networks with their weights, ready to draw."""
    out = Checkpoint(UNet(**UNET), new_text_encoder(), Autoencoder())
    for module, weights in ((out.unet, unet), (out.text, text), (out.vae, vae)):
        module.load_state_dict({k: v.float() for k, v in weights.items()})
        module.eval().requires_grad_(False)
    return out


@torch.no_grad()
def draw(
    checkpoint: Checkpoint,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = 20,
    cfg: float = 5.0,
    size: int = NATIVE,
    negative: str = "",
) -> NDArray[np.uint8]:
    """(B, size, size, 3) RGB.

    Source: Song et al. 2021 (DDIM), eq. 12 with eta 0; trailing-free timesteps as in LDM's sampler.
    """
    alphas = alphas_cumprod().float()
    context = encode(checkpoint.text, tokens(list(prompts)))
    empty = encode(checkpoint.text, tokens([negative])).expand_as(context)
    side = size // 8
    x = torch.stack(
        [torch.randn(4, side, side, generator=torch.Generator().manual_seed(s)) for s in seeds]
    )
    times = (torch.arange(steps) * (1000 // steps) + 1).flip(0)
    for i, t in enumerate(times):
        both = checkpoint.unet(torch.cat([x, x]), t.expand(2 * len(x)), torch.cat([empty, context]))
        without, with_ = both.chunk(2)
        noise = without + cfg * (with_ - without)
        a = alphas[t]
        before = alphas[times[i + 1]] if i + 1 < len(times) else alphas[0]
        x0 = (x - (1 - a).sqrt() * noise) / a.sqrt()
        x = before.sqrt() * x0 + (1 - before).sqrt() * noise
    pixels = checkpoint.vae.decode(x / SCALE).clamp(-1, 1)
    return ((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
