"""The U-Net and, gently, the text encoder: epsilon prediction with min-SNR weights on encoded
drawings.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..scenes.look import sample_look
from ..scenes.prompts import encode, tokens
from ..scenes.sample import sample_scene
from ..scenes.tags import caption
from .base import check_same_base, fingerprint, load_base
from .ema import Ema
from .latents import Latents
from .models import UNET, UNet, alphas_cumprod, new_text_encoder
from .muon import Muon

BATCH = 32
GAMMA = 5.0
GONE_ON = 12_000  # steps of a training that goes on from a checkpoint that is there
GENTLER = 0.3  # its rates beside those from zero
PLAN = 30_000  # steps over which the learning rate falls
SEED = 40_000_000


class UnetTraining:
    """vae: the frozen VAE's weights.

    text: the pre-trained text encoder's, if any.
    folder: of the encoded drawings.
    base: a checkpoint of ours to go on from; its pictures are then drawn by many hands.
    """

    def __init__(
        self,
        vae: dict[str, Tensor],
        text: dict[str, Tensor] | None,
        folder: Path,
        device: str = "cpu",
        batch: int = BATCH,
        shard: int | None = None,
        base: Path | None = None,
    ) -> None:
        torch.manual_seed(3)
        self.name = "unet"
        self.step = 0
        self.device = device
        self.batch = batch
        self.many_hands = base is not None
        self.base = ""
        self.latents = Latents(
            vae, folder, device, many_hands=self.many_hands, **({"shard": shard} if shard else {})
        )
        self.unet = UNet(**UNET).to(device, memory_format=torch.channels_last)
        self.text = new_text_encoder().to(device)
        if text:
            self.text.load_state_dict(text)
        if base:
            load_base(base, self.unet, self.text)
            self.base = fingerprint(self.unet.state_dict())
        self.plan, self.strength = (GONE_ON, GENTLER) if base else (PLAN, 1.0)
        decay = 0.998 if base else 0.9995
        self.ema, self.text_ema = Ema(self.unet, decay), Ema(self.text, decay)
        self.optimizer = Muon(self.unet.named_parameters(), lr=3e-3, adam_lr=1e-3)
        self.text_optimizer = Muon(
            [(n, p) for n, p in self.text.named_parameters() if "final_layer_norm" not in n],
            lr=2e-4,
            adam_lr=2e-4,
        )
        self.alphas = alphas_cumprod().float().to(device)

    def advance(self) -> dict[str, float]:
        generator = torch.Generator().manual_seed(SEED + self.step)
        rng = random.Random(SEED + self.step)
        falling = max(0.1, 1 - self.step / self.plan)
        factor = self.strength * min(1.0, (self.step + 1) / 200) * falling
        self.optimizer.schedule(factor)
        self.text_optimizer.schedule(factor)
        seeds, x0 = self.latents.batch(self.step, self.batch, generator)
        hands = [sample_look(s).tags() if self.many_hands else [] for s in seeds]
        numbers = tokens(
            [caption(sample_scene(s), rng, hand=h) for s, h in zip(seeds, hands, strict=True)]
        )
        noise = torch.randn(x0.shape, generator=generator)
        # stratified: the batch covers the schedule evenly
        t = (
            (torch.arange(self.batch) + torch.rand(self.batch, generator=generator))
            * 1000
            / self.batch
        ).long()
        x0, noise, t, numbers = (v.to(self.device) for v in (x0, noise, t, numbers))
        alpha_bar = self.alphas[t][:, None, None, None]
        noisy = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
        context = encode(self.text, numbers, 2 if self.step % 8 == 7 else 1)
        predicted = self.unet(noisy.contiguous(memory_format=torch.channels_last), t, context)
        mse = (predicted - noise).square().mean((1, 2, 3))
        snr = (alpha_bar / (1 - alpha_bar)).flatten()
        loss = (mse * snr.clamp(max=GAMMA) / snr).mean()
        self.optimizer.zero_grad(set_to_none=True)
        self.text_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.text_optimizer.step()
        self.step += 1
        self.ema.update(self.unet, self.step)
        self.text_ema.update(self.text, self.step)
        return {"loss": loss.item(), "mse": mse.mean().item()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "base": self.base,
            "unet": self.unet.state_dict(),
            "text": self.text.state_dict(),
            "ema": self.ema.weights,
            "text_ema": self.text_ema.weights,
            "optimizer": self.optimizer.state_dict(),
            "text_optimizer": self.text_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        check_same_base(state, self.base)
        self.step = state["step"]
        self.unet.load_state_dict(state["unet"])
        self.text.load_state_dict(state["text"])
        self.ema.weights = {k: v.to(self.device) for k, v in state["ema"].items()}
        self.text_ema.weights = {k: v.to(self.device) for k, v in state["text_ema"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.text_optimizer.load_state_dict(state["text_optimizer"])
