"""CLIP's text encoders from a checkpoint, in transformers' names or open_clip's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import CheckpointError
from ...families.family import TextEncoder
from ...naming.open_clip import open_clip_name
from .clip_text import ClipTextConfig, ClipTextModel
from .inspection import CheckpointFile, text_config
from .tensors import fill, unfilled
from .text_networks import TextNetwork

# Modules of a layer of a CLIP text encoder
PARTS = tuple(
    "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.out_proj mlp.fc1 mlp.fc2"
    " layer_norm1 layer_norm2".split()
)
CLIP_VOCABULARY = 49408
MAX_TEXT_LAYERS = 64  # more than any has; a file from elsewhere may claim what takes hours


def load_text_encoder(
    file: CheckpointFile,
    tensors: Mapping[str, Tensor],
    facts: TextEncoder,
    index: int,
    dtype: torch.dtype = torch.float32,
) -> TextNetwork:
    """CLIP's text model; its sizes are read off the tensors.

    index: of the encoder among the family's.
    """
    own = {
        key[len(facts.keys) :]: value
        for key, value in tensors.items()
        if key.startswith(facts.keys)
    }
    if facts.dialect == "open_clip":
        renamed = _from_open_clip(own)
    else:
        renamed = {key.removeprefix("text_model."): value for key, value in own.items()}
    # Counted, not read off the names, where a number may be anything; _fill reports a gap.
    layers = len({key.split(".")[2] for key in renamed if key.startswith("encoder.layers.")})
    layers = max(0, layers - facts.unused)
    config = _text_config(file, renamed, facts, layers, index)
    with unfilled():  # spares SDXL's second one 2.8 GB of random numbers
        text = ClipTextModel(config)
    fill(file, text, renamed, "text encoder", dtype=dtype)
    if not facts.pooled:
        return TextNetwork(facts, text)
    weight = renamed.get("text_projection.weight", torch.empty(0))
    if weight.dim() != 2 or weight.shape[1] != config.hidden_size:
        raise CheckpointError(
            f"{file.path.name}: found no text_projection in the text encoder, expected one as in"
            f" {file.family}; download the checkpoint again"
        )
    with unfilled():
        projection = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    fill(file, projection, {"weight": weight}, "text encoder", dtype=dtype)
    return TextNetwork(facts, text, projection)


def _from_open_clip(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's tensors under transformers' keys, q, k and v apart."""
    renamed = {
        ours: own[theirs]
        for theirs, ours in (
            ("token_embedding.weight", "embeddings.token_embedding.weight"),
            ("positional_embedding", "embeddings.position_embedding.weight"),
        )
        if theirs in own
    }
    if "text_projection" in own:
        renamed["text_projection.weight"] = own["text_projection"].t()
    layers = {key.split(".")[2] for key in own if key.startswith("transformer.resblocks.")}
    names = [
        "final_layer_norm",
        *(f"encoder.layers.{layer}.{part}" for layer in layers for part in PARTS),
    ]
    for name in names:
        place = open_clip_name(f"text_model.{name}")
        for kind in ("weight", "bias"):
            if place and place.tensor(kind) in own:
                tensor = own[place.tensor(kind)]
                thirds = [tensor] if place.third is None else tensor.chunk(3)
                renamed[f"{name}.{kind}"] = thirds[place.third or 0]
    return renamed


def _text_config(
    file: CheckpointFile, tensors: Mapping[str, Tensor], facts: TextEncoder, layers: int, index: int
) -> ClipTextConfig:
    """tensors: by transformers' keys.  layers: of the encoder.

    Raises:
        CheckpointError: the tensors are no CLIP text encoder's.
    """
    token_key = "embeddings.token_embedding.weight"
    position_key = "embeddings.position_embedding.weight"
    inner_key = "encoder.layers.0.mlp.fc1.weight"
    for key in (token_key, position_key, inner_key):
        if tensors.get(key, torch.empty(0)).dim() != 2:
            raise CheckpointError(
                f"{file.path.name}: found no {key} in the text encoder, expected CLIP's as in"
                f" {file.family}; download the checkpoint again"
            )
    vocabulary, width = tensors[token_key].shape
    if vocabulary != CLIP_VOCABULARY:
        raise CheckpointError(
            f"{file.path.name}: found a vocabulary of {vocabulary}, expected CLIP's"
            f" {CLIP_VOCABULARY}; use a checkpoint whose text encoder is CLIP's"
        )
    if layers > MAX_TEXT_LAYERS:
        raise CheckpointError(
            f"{file.path.name}: found {layers} layers in the text encoder, expected CLIP's, at"
            f" most {MAX_TEXT_LAYERS}; download the checkpoint again"
        )
    return ClipTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=tensors[inner_key].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=_text_heads(file, width, index),
        hidden_act=facts.activation,
        max_position_embeddings=tensors[position_key].shape[0],
    )


def _text_heads(file: CheckpointFile, width: int, index: int) -> int:
    """Attention heads, which the tensors do not show.

    From the CLIP config that the `.yaml` names, else CLIP's 64 channels a head.
    index: of the encoder among the family's.
    """
    version = text_config(file.params, index).get("version")
    if isinstance(version, str):
        beside = file.path.parent
        # The last one: an absolute name, where checkpoint, yaml and folder were moved together.
        for folder in (beside / version, Path(version), beside / Path(version).name):
            if (folder / "config.json").exists():
                config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
                return int(config.get("text_config", config)["num_attention_heads"])
    return max(1, width // 64)
