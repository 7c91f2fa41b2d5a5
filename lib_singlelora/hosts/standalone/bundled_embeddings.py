"""Textual inversions that a LoRA file brings (`bundle_emb.NAME. …`): in prompts their names stand
for their vectors.

Source: AUTOMATIC1111 1.10.1 extensions-builtin/Lora/networks.py, load_network, and
modules/textual_inversion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import LoraFileError

# A name's tokens -> the tokens that stand for its vectors.
EmbeddingTokens = Mapping[tuple[int, ...], tuple[int, ...]]


def vectors_of(name: str, embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Embedding name -> its vectors (n, D), of a file's `bundle_emb.` tensors.  name: of the file,
    for messages.

    Raises: LoraFileError, for one that is no embedding of a Stable Diffusion 1 or 2.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in embeddings.items():
        _, word, part = key.split(".", 2)
        found.setdefault(word, {})[part] = tensor
    vectors = {}
    for word, parts in found.items():
        told = [tensor for part, tensor in parts.items() if part.startswith("string_to_param.")]
        usable = told or [tensor for part, tensor in parts.items() if part == "clip_l"]
        if len(usable) != 1 or (not told and len(parts) > 1):
            raise LoraFileError(
                f"{name}: found the bundled embedding '{word}' with {', '.join(parts)}, expected"
                " one tensor, as Stable Diffusion 1 has; was it trained for another base model?"
            )
        vectors[word] = usable[0].float().reshape(-1, usable[0].shape[-1])
    return vectors


@contextmanager
def embedding_tokens(
    text: nn.Module, tokenizer: Any, vectors: Mapping[str, Tensor]
) -> Iterator[EmbeddingTokens]:
    """While inside, the text encoder knows the vectors under new tokens; which ones, by the tokens
    of their names.

    One whose vectors are of another width than the text encoder's is left out, as the WebUI does.
    """
    inner: Any = text
    table: nn.Embedding = inner.embeddings.token_embedding
    words: dict[tuple[int, ...], tuple[int, ...]] = {}
    rows, following = [table.weight], table.num_embeddings
    for name, own in vectors.items():
        if own.shape[1] == table.embedding_dim:
            tokens = tokenizer(
                name, add_special_tokens=False, truncation=False, verbose=False
            ).input_ids
            words[tuple(tokens)] = tuple(range(following, following + len(own)))
            rows.append(own.to(table.weight))
            following += len(own)
    if not words:
        yield {}
        return
    whole = torch.cat([row.detach() for row in rows])
    inner.embeddings.token_embedding = nn.Embedding.from_pretrained(whole)  # type: ignore[no-untyped-call]
    try:
        yield words
    finally:
        inner.embeddings.token_embedding = table


def embedding_at(tokens: list[int], place: int, words: EmbeddingTokens) -> tuple[int, ...]:
    """The name that begins at a place, the longest of several; () for none."""
    fitting = [name for name in words if tuple(tokens[place : place + len(name)]) == name]
    return max(fitting, key=len, default=())
