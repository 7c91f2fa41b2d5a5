"""The U-Net's pictures: drawn and encoded once in shards on disk, each seen a few times with other
noise and another caption.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .base import fingerprint
from .models import SCALE, Autoencoder
from .train_vae import pictures

SHARD = 512
# Shards before the first step; steps for each further one; how many are drawn from
FIRST = 8
STEPS_PER_SHARD = 120
KEPT = 60
SEED = 30_000_000


class Latents:
    """latents(step) is a function of the step alone, whoever made the shards.

    folder: of all shards; those of another VAE and of many hands lie beside each other in it.
    many_hands: the drawings differ in proportions, lines and tones too (scenes/look.py).
    """

    def __init__(
        self,
        vae: dict[str, Tensor],
        folder: Path,
        device: str = "cpu",
        shard: int = SHARD,
        many_hands: bool = False,
    ) -> None:
        self.model = (
            Autoencoder().to(device, memory_format=torch.channels_last).requires_grad_(False)
        )
        self.model.load_state_dict(vae)
        self.folder = folder / f"{fingerprint(vae)}{'-many-hands' if many_hands else ''}"
        self.device = device
        self.shard = shard
        self.many_hands = many_hands
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kept: dict[int, Tensor] = {}

    @torch.no_grad()
    def make(self, number: int) -> Tensor:
        """(SHARD, 4, 16, 16) fp16, scaled; from disk when it is there."""
        path = self.folder / f"{number:05d}.pt"
        if not path.exists():
            seeds = range(SEED + number * self.shard, SEED + (number + 1) * self.shard)
            rows = []
            for s in range(seeds.start, seeds.stop, 8):
                x = pictures(
                    range(s, min(s + 8, seeds.stop)), world=True, many_hands=self.many_hands
                ).to(self.device, memory_format=torch.channels_last)
                rows.append((self.model.encode(x)[0] * SCALE).half().cpu())
            part = path.with_suffix(f".{torch.randint(1 << 30, ()).item()}.part")
            torch.save(torch.cat(rows), part)
            part.replace(path)
        return torch.load(path, weights_only=True)

    def batch(self, step: int, size: int, generator: torch.Generator) -> tuple[list[int], Tensor]:
        """Scene seeds and latents (size, 4, 16, 16) of a step."""
        last = FIRST + step // STEPS_PER_SHARD
        first = max(0, last - KEPT)
        for number in range(first, last):
            if number not in self.kept:
                self.kept[number] = self.make(number)
        for number in [n for n in self.kept if n < first]:
            del self.kept[number]
        picks = torch.randint(
            first * self.shard, last * self.shard, (size,), generator=generator
        ).tolist()
        return [SEED + p for p in picks], torch.stack(
            [self.kept[p // self.shard][p % self.shard] for p in picks]
        ).float()
