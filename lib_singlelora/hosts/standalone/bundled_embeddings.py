"""Textual inversions in a LoRA file (`bundle_emb.NAME. …`), called by their names in prompts.

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
from ..clip import token_ids

# Token ids of a name -> the token ids that stand for its vectors
EmbeddingTokens = Mapping[tuple[int, ...], tuple[int, ...]]


def vectors_of(file_name: str, embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Embedding name -> its vectors (n, D), of a file's `bundle_emb.` tensors.

    Raises:
        LoraFileError: one is no embedding of Stable Diffusion 1 or 2.
    """
    tensors_of: dict[str, dict[str, Tensor]] = {}
    for key, tensor in embeddings.items():
        _, name, kind = key.split(".", 2)
        tensors_of.setdefault(name, {})[kind] = tensor
    vectors = {}
    for name, tensors in tensors_of.items():
        usable = [tensor for kind, tensor in tensors.items() if kind.startswith("string_to_param.")]
        if not usable and list(tensors) == ["clip_l"]:
            usable = [tensors["clip_l"]]
        if len(usable) != 1:
            raise LoraFileError(
                f"{file_name}: found the bundled embedding '{name}' with {', '.join(tensors)},"
                " expected one tensor, as Stable Diffusion 1 has; those of SDXL are not read here:"
                " take them out of the file, or draw in the WebUI"
            )
        vectors[name] = usable[0].float().reshape(-1, usable[0].shape[-1])
    return vectors


@contextmanager
def embedding_tokens(
    text: nn.Module, tokenizer: Any, vectors: Mapping[str, Tensor]
) -> Iterator[EmbeddingTokens]:
    """While inside, the text encoder knows the vectors under new token ids, which are returned.

    An embedding of another width than the text encoder's is left out, as the WebUI does.
    """
    inner: Any = text
    table: nn.Embedding = inner.embeddings.token_embedding
    tokens: dict[tuple[int, ...], tuple[int, ...]] = {}
    rows = [table.weight]
    next_id = table.num_embeddings
    for name, values in vectors.items():
        if values.shape[1] == table.embedding_dim:
            tokens[tuple(token_ids(tokenizer, name))] = tuple(range(next_id, next_id + len(values)))
            rows.append(values.to(table.weight))
            next_id += len(values)
    if not tokens:
        yield {}
        return
    extended = torch.cat([row.detach() for row in rows])
    inner.embeddings.token_embedding = nn.Embedding.from_pretrained(extended)
    try:
        yield tokens
    finally:
        inner.embeddings.token_embedding = table


def embedding_at(ids: list[int], position: int, tokens: EmbeddingTokens) -> tuple[int, ...]:
    """The name that begins at a position of a prompt's token ids, the longest one; () for none."""
    names = [name for name in tokens if tuple(ids[position : position + len(name)]) == name]
    return max(names, key=len, default=())
