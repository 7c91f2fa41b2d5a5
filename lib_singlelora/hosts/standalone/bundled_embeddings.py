"""Textual inversions in a LoRA file (`bundle_emb.NAME. …`), called by their names in prompts.

Source: AUTOMATIC1111 1.10.1 extensions-builtin/Lora/networks.py, load_network, and
modules/textual_inversion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import LoraFileError
from ..clip import token_ids
from .text_networks import TextNetwork

# Token ids of a name -> the token ids that stand for its vectors
EmbeddingTokens = Mapping[tuple[int, ...], tuple[int, ...]]
# An embedding's vectors (n, D) for each text encoder, by the names that a file has for these
Vectors = Mapping[str, Tensor]
CLIP_L = "clip_l"


def vectors_of(file_name: str, embeddings: Mapping[str, Tensor]) -> dict[str, Vectors]:
    """Embedding name -> its vectors for each text encoder, of a file's `bundle_emb.` tensors.

    A single tensor is for a family with one text encoder, and goes by the name clip_l.

    Raises:
        LoraFileError: one is no embedding, or has more vectors for one text encoder.
    """
    tensors_of: dict[str, dict[str, Tensor]] = {}
    for key, tensor in embeddings.items():
        _, name, kind = key.split(".", 2)
        tensors_of.setdefault(name, {})[kind] = tensor
    return {name: _vectors(file_name, name, tensors) for name, tensors in tensors_of.items()}


def _vectors(file_name: str, name: str, tensors: Mapping[str, Tensor]) -> Vectors:
    usable = [tensor for kind, tensor in tensors.items() if kind.startswith("string_to_param.")]
    # In ComfyUI's names, as SDXL's are published
    named = {kind: tensor for kind, tensor in tensors.items() if kind.startswith("clip_")}
    found = {CLIP_L: usable[0]} if len(usable) == 1 else named
    if len(usable) > 1 or not found:
        raise LoraFileError(
            f"{file_name}: found the bundled embedding '{name}' with {', '.join(tensors)},"
            " expected one tensor, or clip_l and clip_g as SDXL has; take it out of the file"
        )
    rows = {kind: value.float().reshape(-1, value.shape[-1]) for kind, value in found.items()}
    if len({len(values) for values in rows.values()}) > 1:
        counts = ", ".join(f"{len(values)} in {kind}" for kind, values in rows.items())
        raise LoraFileError(
            f"{file_name}: found the bundled embedding '{name}' with {counts}, expected as many"
            " vectors for each text encoder; take it out of the file"
        )
    return rows


@contextmanager
def embedding_tokens(
    encoders: Sequence[TextNetwork], tokenizer: Any, vectors: Mapping[str, Vectors]
) -> Iterator[EmbeddingTokens]:
    """While inside, the text encoders know the vectors under new token ids, which are returned.

    An embedding of another family, by its text encoders or their widths, is left out, as the WebUI
    does.
    """
    tables: dict[str, nn.Embedding] = {
        encoder.facts.embedding: encoder.model.embeddings.token_embedding for encoder in encoders
    }
    widths = {kind: table.embedding_dim for kind, table in tables.items()}
    tokens: dict[tuple[int, ...], tuple[int, ...]] = {}
    rows = {kind: [table.weight] for kind, table in tables.items()}
    next_id = next(iter(tables.values())).num_embeddings
    for name, values in vectors.items():
        if {kind: rows_of.shape[1] for kind, rows_of in values.items()} != widths:
            continue
        count = len(next(iter(values.values())))
        tokens[tuple(token_ids(tokenizer, name))] = tuple(range(next_id, next_id + count))
        next_id += count
        for kind, table in tables.items():
            rows[kind].append(values[kind].to(table.weight))
    with ExitStack() as stack:
        for encoder in encoders if tokens else ():
            stack.enter_context(_extended(encoder.model, rows[encoder.facts.embedding]))
        yield tokens


@contextmanager
def _extended(text: Any, rows: Sequence[Tensor]) -> Iterator[None]:
    """While inside, a text encoder has a table of these rows."""
    table = text.embeddings.token_embedding
    longer = torch.cat([row.detach() for row in rows])
    text.embeddings.token_embedding = nn.Embedding.from_pretrained(longer)
    try:
        yield
    finally:
        text.embeddings.token_embedding = table


def embedding_at(ids: list[int], position: int, tokens: EmbeddingTokens) -> tuple[int, ...]:
    """The name that begins at a position of a prompt's token ids, the longest one; () for none."""
    names = [name for name in tokens if tuple(ids[position : position + len(name)]) == name]
    return max(names, key=len, default=())
