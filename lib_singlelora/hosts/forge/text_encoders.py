"""Captions to conditioning by the program's text encoders, without emphasis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ...host import Conditioning
from ..clip import token_chunks, token_ids, token_positions
from .program import Program, TextNetwork

LAYERS = "text_model.encoder."  # what a LoRA trains of a text encoder; embeddings are left alone


class TextEncoders:
    """The text encoders of one checkpoint."""

    def __init__(self, program: Program, networks: Sequence[TextNetwork]) -> None:
        self._program = program
        self._networks = networks

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        return len(token_ids(self._networks[0].tokenizer, prompt))

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where a part of a prompt first lies in its context; none if it is not there."""
        return token_positions(self._networks[0].tokenizer, prompt, part)

    def encode(self, prompts: Sequence[str], clip_skip: int, device: torch.device) -> Conditioning:
        """Prompts to conditioning without sizes."""
        [network] = self._networks
        tokens = token_chunks(network.tokenizer, prompts).to(device)
        batch, chunks, length = tokens.shape
        layers = len(network.transformer.text_model.encoder.layers)
        skip = max(1, min(clip_skip, layers))
        hidden, _ = self._program.layer(
            network, tokens.view(batch * chunks, length), skip, with_norm=True, pooled=False
        )
        return Conditioning(hidden.reshape(batch, chunks * length, hidden.shape[-1]))

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear."""
        [network] = self._networks
        for name, module in network.transformer.named_modules():
            if name.startswith(LAYERS) and is_linear(module):
                yield name, module

    def layers(self) -> Iterator[nn.Module]:
        """What gradient checkpointing may compute again."""
        for network in self._networks:
            yield from network.transformer.text_model.encoder.layers


def is_linear(module: nn.Module) -> bool:
    """True for a module that multiplies by a matrix, of whichever class.

    The program's Linear is not PyTorch's.
    """
    weight = module._parameters.get("weight")
    return weight is not None and weight.dim() == 2 and not isinstance(module, nn.Embedding)
