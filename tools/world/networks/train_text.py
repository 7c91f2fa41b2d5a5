"""The text encoder, before the U-Net: at the end of each tag its output tells which tag it was."""

from __future__ import annotations

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..scenes.prompts import LENGTH, encode, tag_tokens, tokens, vocabulary
from ..scenes.sample import sample_scene
from ..scenes.tags import caption
from .models import TEXT, new_text_encoder
from .muon import Muon

SEED = 20_000_000


def tag_ends(captions: list[str], index: dict[str, int]) -> Tensor:
    """(B, 77): at each tag's last token the tag's number, elsewhere -100."""
    out = torch.full((len(captions), LENGTH), -100)
    for row, text in enumerate(captions):
        at = 0
        for i, tag in enumerate(filter(None, text.split(", "))):
            at += len(tag_tokens(tag)) + (1 if i else 0)
            if at < LENGTH - 1 and tag in index:
                out[row, at] = index[tag]
    return out


class TextTraining:
    def __init__(self, device: str = "cpu") -> None:
        torch.manual_seed(2)
        self.name = "text"
        self.step = 0
        self.device = device
        self.index = {tag: i for i, tag in enumerate(vocabulary())}
        self.model = new_text_encoder().to(device)
        self.head = nn.Linear(TEXT["hidden_size"], len(self.index)).to(device)
        named = [
            *self.model.named_parameters(),
            *((f"head.{n}", p) for n, p in self.head.named_parameters()),
        ]
        self.optimizer = Muon(
            [(n, p) for n, p in named if "final_layer_norm" not in n], lr=1e-3, adam_lr=3e-3
        )

    def advance(self) -> dict[str, float]:
        rng = random.Random(SEED + self.step)
        self.optimizer.schedule(min(1.0, (self.step + 1) / 50) * max(0.1, 1 - self.step / 1500))
        captions = [
            caption(sample_scene(rng.randrange(1 << 30), rng.random() < 0.7), rng, empty=0.0)
            for _ in range(32)
        ]
        context = encode(self.model, tokens(captions).to(self.device), 1 + self.step % 2)
        loss = F.cross_entropy(
            self.head(context).flatten(0, 1),
            tag_ends(captions, self.index).flatten().to(self.device),
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return {"loss": loss.item()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
