"""The VAE: 64-pixel crops and whole pictures; then its latents are whitened and frozen."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..scenes.look import PLAIN, sample_look
from ..scenes.sample import sample_scene
from ..scenes.scene import render
from .base import check_same_base, fingerprint
from .ema import Ema
from .models import SCALE, Autoencoder
from .muon import Muon

PLAN = {"vae": 3300, "decoder": 2500}  # steps over which the learning rate falls
GONE_ON = 4000  # steps of a training that goes on from a VAE that is there
# How much latents that move away from those of before cost, beside the reconstruction: a U-Net
# that was trained on them goes on from there.
ANCHOR = 0.05
SEED = 10_000_000


def pictures(
    seeds: range, size: int = 128, world: bool = False, many_hands: bool = False
) -> Tensor:
    """(B, 3, size, size) in [-1, 1]."""
    looks = [sample_look(s) if many_hands else PLAIN for s in seeds]
    stack = np.stack(
        [
            render(sample_scene(s, world), size, look=look).pixels
            for s, look in zip(seeds, looks, strict=True)
        ]
    )
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


def crops(step: int, many_hands: bool = False) -> Tensor:
    """Every fourth batch whole pictures, the others crops, two of each picture, mostly from where
    the figure is.
    """
    if step % 4 == 3:
        return pictures(range(SEED + step * 8, SEED + step * 8 + 2), many_hands=many_hands)
    rng = random.Random(step)
    out = []
    for k in range(4):
        seed = SEED + step * 8 + k
        look = sample_look(seed) if many_hands else PLAIN
        drawing = render(sample_scene(seed, False), 128, look=look)
        ys, xs = np.nonzero(drawing.mask)
        for _ in range(2):
            if len(ys) and rng.random() < 0.85:
                i = rng.randrange(len(ys))
                y, x = (min(max(int(v) - 32, 0), 64) // 8 * 8 for v in (ys[i], xs[i]))
            else:
                y = rng.randrange(0, 65, 8)
                x = rng.randrange(0, 65, 8)
            out.append(drawing.pixels[y : y + 64, x : x + 64])
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(found: Tensor, true: Tensor) -> Tensor:
    """Sharpness from |d|, fidelity from d², hue from the low frequencies of the chroma."""
    d = found - true
    low = F.avg_pool2d(d, 4)
    chroma = low - low.mean(1, keepdim=True)
    return (
        0.5 * d.abs().mean()
        + 6.0 * d.square().mean()
        + 0.5 * low.abs().mean()
        + chroma.abs().mean()
    )


class VaeTraining:
    """decoder_only: the encoder and the latents stay as they are, so that a U-Net trained on them
    stays right.

    base: a VAE to go on from, by pictures of many hands; trained whole, its latents stay near those
        of before.
    half: passes in bfloat16.
    """

    def __init__(
        self,
        device: str = "cpu",
        decoder_only: dict[str, Tensor] | None = None,
        base: dict[str, Tensor] | None = None,
        half: bool = False,
    ) -> None:
        torch.manual_seed(1)
        self.name = "decoder" if decoder_only else "vae"
        self.device = device
        self.step = 0
        self.decoder_only = bool(decoder_only)
        self.model = Autoencoder().to(device, memory_format=torch.channels_last)
        if decoder_only:
            self.model.load_state_dict(decoder_only)
            self.model.encoder.requires_grad_(False)
            self.model.quant_conv.requires_grad_(False)
        self.base, self.before = "", None
        self.many_hands, self.half = bool(base), half
        if base:
            self.base = fingerprint(base)
            if not decoder_only:
                self.model.load_state_dict(base)
                self.before = copy.deepcopy(self.model).requires_grad_(False)
        self.plan = GONE_ON if base else PLAN[self.name]
        self.ema = Ema(self.model, 0.997)
        self.optimizer = Muon(
            [(n, p) for n, p in self.model.named_parameters() if p.requires_grad],
            lr=1e-3 if decoder_only or base else 2e-3,
            adam_lr=5e-4 if decoder_only or base else 1e-3,
        )

    def advance(self) -> dict[str, float]:
        torch.manual_seed(SEED + self.step)
        floor = 0.08
        self.optimizer.schedule(
            min(1.0, (self.step + 1) / 40) * max(floor, 1 - self.step / self.plan)
        )
        x = crops(self.step, self.many_hands).to(self.device, memory_format=torch.channels_last)
        passes = torch.autocast(self.device, torch.bfloat16, enabled=self.half)
        with passes, torch.set_grad_enabled(not self.decoder_only):
            mean, logvar = (v.float() for v in self.model.encode(x))
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        with passes:
            found = self.model.decode(z).float()
        loss = reconstruction_loss(found, x)
        if not self.decoder_only:
            divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
            loss = loss + 2e-6 * 256 * divergence
        if self.before is not None:
            with torch.no_grad():
                there = self.before.encode(x)[0]
            loss = loss + ANCHOR * (SCALE * (mean - there)).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.ema.update(self.model, self.step)
        mse = (found.detach().clamp(-1, 1) - x).square().mean().item() / 4
        return {"loss": loss.item(), "psnr": -10 * float(np.log10(max(mse, 1e-9)))}

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "base": self.base,
            "model": self.model.state_dict(),
            "ema": self.ema.weights,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        check_same_base(state, self.base)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.ema.weights = {k: v.to(self.device) for k, v in state["ema"].items()}
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def whitened(weights: dict[str, Tensor], count: int = 256) -> dict[str, Tensor]:
    """The same VAE with latents whose four channels × 0.18215 are uncorrelated, centred and of unit
    variance.

    The 4 × 4 change of basis is folded into quant_conv, its inverse into post_quant_conv; the
    shipped precision is fp16.
    """
    model = Autoencoder()
    model.load_state_dict(weights)
    model.to(memory_format=torch.channels_last)
    means = [
        model.encode(pictures(range(start, start + 16), world=True))[0]
        for start in range(0, count, 16)
    ]
    flat = torch.cat(means).permute(0, 2, 3, 1).reshape(-1, 4).double()
    centre = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    # Symmetric (ZCA): stays close to the original channels
    to = (vectors * values.rsqrt()) @ vectors.T / SCALE
    quant = model.quant_conv
    post = model.post_quant_conv
    weight = quant.weight[:4, :, 0, 0].double()
    bias = quant.bias[:4].double()
    quant.weight[:4, :, 0, 0], quant.bias[:4] = (
        (to @ weight).float(),
        (to @ (bias - centre)).float(),
    )
    quant.bias[4:] += 2 * to.diagonal().abs().log().float()
    back = torch.linalg.inv(to)
    weight = post.weight[:, :, 0, 0].double()
    post.bias += (weight @ centre).float()
    post.weight[:, :, 0, 0] = (weight @ back).float()
    return {k: v.half().float().contiguous() for k, v in model.state_dict().items()}


@torch.no_grad()
def psnr(weights: dict[str, Tensor], seeds: range, world: bool = True) -> float:
    """Mean PSNR in dB over fresh drawings at 128 pixels."""
    model = Autoencoder()
    model.load_state_dict(weights)
    model.to(memory_format=torch.channels_last)
    found = []
    for s in range(seeds.start, seeds.stop, 8):
        x = pictures(range(s, min(s + 8, seeds.stop)), world=world).contiguous(
            memory_format=torch.channels_last
        )
        y = model.decode(model.encode(x)[0]).clamp(-1, 1)
        found += (-10 * ((x - y).square().mean((1, 2, 3)) / 4).log10()).tolist()
    return sum(found) / len(found)
