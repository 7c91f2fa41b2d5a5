"""Prompts to conditioning with transformers' CLIP: chunks of 75 tokens, clip skip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 75  # tokens between those of start and end


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text of any length, without those of start and end."""
    ids: list[int] = tokenizer(
        text, add_special_tokens=False, truncation=False, verbose=False
    ).input_ids
    return ids


def count_tokens(tokenizer: Any, prompt: str) -> int:
    """Number of a prompt's tokens, without those of start and end."""
    return len(token_ids(tokenizer, prompt))


def token_chunks(tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """Token ids (B, k, 77), padded with the end token.

    Every prompt gets as many chunks as the longest one needs.
    """
    prompts_ids = [token_ids(tokenizer, prompt) for prompt in prompts]
    count = max(1, *(-(-len(ids) // CHUNK) for ids in prompts_ids))
    start = tokenizer.bos_token_id
    end = tokenizer.eos_token_id
    rows = []
    for ids in prompts_ids:
        chunks = [ids[index * CHUNK : (index + 1) * CHUNK] for index in range(count)]
        rows.append([[start, *chunk, *[end] * (CHUNK + 1 - len(chunk))] for chunk in chunks])
    return torch.tensor(rows)


def repadded(tokens: Tensor, end: int, pad: int | None) -> Tensor:
    """Token ids (B, 77) with a pad token behind the first end token; None leaves them."""
    if pad is None:
        return tokens
    behind = (tokens == end).int().cumsum(dim=1) > 0
    behind = behind.roll(1, dims=1)
    behind[:, 0] = False
    return tokens.masked_fill(behind, pad)


def part_positions(chunks: Sequence[Sequence[int]], part: Sequence[int]) -> list[int]:
    """Where a part of a prompt first lies among its tokens, 0 to 77k-1; none if it does not.

    chunks: k of them, each of 77 token ids with those of start and end.
    part: token ids without those of start and end; it may go on in the next chunk.
    """
    places = [
        (len(chunk) * number + index, token)
        for number, chunk in enumerate(chunks)
        for index, token in enumerate(chunk)
        if 0 < index < len(chunk) - 1
    ]
    for first in range(len(places) - len(part) + 1):
        found = places[first : first + len(part)]
        if [token for _, token in found] == list(part):
            return [position for position, _ in found]
    return []


def token_positions(tokenizer: Any, prompt: str, part: str) -> list[int]:
    """Where a part of a prompt first lies in its context (77k, D); none if it is not there."""
    [chunks] = token_chunks(tokenizer, [prompt]).tolist()
    return part_positions(chunks, token_ids(tokenizer, part))


def encode(
    text: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    clip_skip: int,
    device: str,
    norm: nn.Module | None = None,
) -> Tensor:
    """Context (B, 77k, D) of prompts, without emphasis.

    norm: the final layer norm, where it is not the text encoder's own `final_layer_norm`.
    """
    tokens = token_chunks(tokenizer, prompts)
    batch, chunks, length = tokens.shape
    hidden = hidden_states(text, tokens.view(batch * chunks, length).to(device), clip_skip, norm)
    return hidden.reshape(batch, chunks * length, hidden.shape[-1])


def hidden_states(
    text: nn.Module, tokens: Tensor, clip_skip: int, norm: nn.Module | None = None
) -> Tensor:
    """(B, 77, D) of token ids (B, 77): layer `clip_skip` from the end, then the final norm."""
    output = text(tokens, output_hidden_states=True)
    skip = max(1, min(clip_skip, len(output.hidden_states) - 1))
    final_norm = norm or text.final_layer_norm
    assert isinstance(final_norm, nn.Module)
    hidden: Tensor = final_norm(output.hidden_states[-skip])
    return hidden
