"""A checkpoint's text encoders as transformers' CLIP, and prompts through all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...families.family import TextEncoder
from ...host import Conditioning
from ..clip import repadded, token_chunks


@dataclass
class TextNetwork:
    """One of a checkpoint's text encoders.

    facts: of the family.
    model: CLIP's text model, without its projection.
    projection: of the pooled token; None where the family has none.
    """

    facts: TextEncoder
    model: Any
    projection: nn.Linear | None = None

    def modules(self) -> list[nn.Module]:
        """All that it computes with."""
        return [self.model] if self.projection is None else [self.model, self.projection]

    def encode(self, tokens: Tensor, end: int, clip_skip: int) -> tuple[Tensor, Tensor | None]:
        """Hidden states (B, 77, D), and the pooled token (B, P) where the family has it.

        tokens: (B, 77), padded with the end token.
        clip_skip: the layer that is taken, from the end, where the family follows it.

        Source: Stability-AI/generative-models, sgm/modules/encoders/modules.py, FrozenCLIPEmbedder
            and FrozenOpenCLIPEmbedder2.
        """
        facts = self.facts
        model = self.model
        output = model(repadded(tokens, end, facts.pad), output_hidden_states=True)
        layers = len(output.hidden_states) - 1
        skip = clip_skip if facts.follows_clip_skip else facts.skipped - facts.unused
        hidden: Tensor = output.hidden_states[-max(1, min(skip, layers))]
        if facts.final_norm:
            hidden = model.final_layer_norm(hidden)
        if self.projection is None:
            return hidden, None
        last = model.final_layer_norm(output.hidden_states[-1])
        rows = torch.arange(len(tokens), device=tokens.device)
        return hidden, self.projection(last[rows, (tokens == end).int().argmax(dim=1)])


def encode_tokens(
    encoders: Sequence[TextNetwork], tokens: Tensor, end: int, clip_skip: int
) -> tuple[Tensor, Tensor | None]:
    """The encoders' hidden states side by side, (B, 77, D), and the pooled token (B, P)."""
    found = [encoder.encode(tokens, end, clip_skip) for encoder in encoders]
    pooled = next((pooled for _, pooled in found if pooled is not None), None)
    return torch.cat([hidden for hidden, _ in found], dim=-1), pooled


def encode_captions(
    encoders: Sequence[TextNetwork],
    tokenizer: Any,
    prompts: Sequence[str],
    clip_skip: int,
    device: str,
) -> Conditioning:
    """Conditioning of prompts, without emphasis and sizes; pooled is the first chunk's."""
    tokens = token_chunks(tokenizer, prompts).to(device)
    batch, chunks, length = tokens.shape
    rows = tokens.view(batch * chunks, length)
    hidden, pooled = encode_tokens(encoders, rows, tokenizer.eos_token_id, clip_skip)
    context = hidden.reshape(batch, chunks * length, hidden.shape[-1])
    return Conditioning(context, None if pooled is None else pooled[::chunks])
