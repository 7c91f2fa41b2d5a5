"""Prompts to conditioning with transformers' CLIP: chunks of 75 tokens, clip skip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 75


def count_tokens(tokenizer: Any, prompt: str) -> int:
    """Tokens of a prompt, without those of start and end."""
    return len(
        tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False).input_ids
    )


def token_chunks(tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """(B, k, 77) token numbers; every prompt gets as many chunks as the longest one needs."""
    numbers = [
        tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False).input_ids
        for prompt in prompts
    ]
    count = max(1, *(-(-len(own) // CHUNK) for own in numbers))
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    rows = []
    for own in numbers:
        pieces = [own[i * CHUNK : (i + 1) * CHUNK] for i in range(count)]
        rows.append([[start, *piece, *[end] * (CHUNK + 1 - len(piece))] for piece in pieces])
    return torch.tensor(rows)


def encode(
    text: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    clip_skip: int,
    device: str,
    norm: nn.Module | None = None,
) -> Tensor:
    """Context (B, 77k, D): hidden state n from the end, then the final layer norm (`norm`, or the
    text encoder's own).
    """
    tokens = token_chunks(tokenizer, prompts)
    batch, chunks, length = tokens.shape
    hidden = hidden_states(text, tokens.view(batch * chunks, length).to(device), clip_skip, norm)
    return hidden.reshape(batch, chunks * length, hidden.shape[-1])


def hidden_states(
    text: nn.Module, tokens: Tensor, clip_skip: int, norm: nn.Module | None = None
) -> Tensor:
    """(B, 77, D) of token numbers (B, 77): layer `clip_skip` from the end, then the final layer
    norm.
    """
    output = text(tokens, output_hidden_states=True)
    skip = max(1, min(clip_skip, len(output.hidden_states) - 1))
    last = norm or text.final_layer_norm
    assert isinstance(last, nn.Module)
    hidden: Tensor = last(output.hidden_states[-skip])
    return hidden
