"""Captions to conditioning by the program's text encoders, without emphasis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...families.family import Family, TextEncoder
from ...host import Conditioning
from ..clip import token_chunks, token_ids, token_positions
from .program import TextNetwork

LAYER = "text_model.encoder."  # what a LoRA trains of a text encoder; embeddings are left alone


class TextEncoders:
    """The text encoders of one checkpoint, in the order in which their outputs are joined."""

    def __init__(self, family: Family, networks: Sequence[TextNetwork]) -> None:
        self._encoders: list[tuple[TextEncoder, TextNetwork]] = list(
            zip(family.text_encoders, networks, strict=True)
        )
        self._tokenizer = networks[0].tokenizer  # all of them have CLIP's one vocabulary

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        return len(token_ids(self._tokenizer, prompt))

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where a part of a prompt first lies in its context; none if it is not there."""
        return token_positions(self._tokenizer, prompt, part)

    def encode(self, prompts: Sequence[str], clip_skip: int, device: torch.device) -> Conditioning:
        """Prompts to conditioning without sizes."""
        tokens = token_chunks(self._tokenizer, prompts)
        batch, chunks, length = tokens.shape
        rows = tokens.view(batch * chunks, length)
        contexts = []
        pooled = None
        for facts, network in self._encoders:
            layers = len(network.transformer.text_model.encoder.layers)
            wanted = clip_skip if facts.follows_clip_skip else facts.skipped
            hidden, end = _states(
                network.transformer,
                self._padded(rows, facts).to(device),
                max(1, min(wanted, layers)),
                facts.final_norm,
            )
            contexts.append(hidden.reshape(batch, chunks * length, hidden.shape[-1]))
            if facts.pooled:
                first = end.view(batch, chunks, -1)[:, 0]  # of the first chunk
                pooled = _projected(network, first)
        return Conditioning(torch.cat(contexts, dim=-1), pooled)

    def _padded(self, tokens: Tensor, facts: TextEncoder) -> Tensor:
        """Token ids (B, 77) with the encoder's own token behind the first end token."""
        if facts.pad is None:
            return tokens
        ends = tokens == self._tokenizer.eos_token_id
        return tokens.masked_fill(ends.cumsum(dim=1) > 1, facts.pad)

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear that is computed."""
        for facts, network in self._encoders:
            layers = network.transformer.text_model.encoder.layers
            # Of what is never computed no trainer has a LoRA; the pooled text needs every layer.
            last = 0 if facts.pooled or facts.dialect != "open_clip" else facts.skipped - 1
            unused = tuple(
                f"{LAYER}layers.{index}." for index in range(len(layers) - last, len(layers))
            )
            for name, module in network.transformer.named_modules():
                if is_linear(module) and name.startswith(LAYER) and not name.startswith(unused):
                    yield facts.prefix + name, module

    def layers(self) -> Iterator[nn.Module]:
        """What gradient checkpointing may compute again."""
        for _, network in self._encoders:
            yield from network.transformer.text_model.encoder.layers


def _states(transformer: Any, tokens: Tensor, skip: int, with_norm: bool) -> tuple[Tensor, Tensor]:
    """(B, 77, D) of token ids (B, 77), and that of the end token after the final norm, (B, D).

    skip: the layer, from the end; 1 is the last one.
    with_norm: True for the final layer norm on top of it.
    """
    norm = transformer.text_model.final_layer_norm
    if hasattr(transformer, "config"):  # transformers' class
        output = transformer(tokens, output_hidden_states=True)
        hidden = output.hidden_states[-skip]
        return norm(hidden) if with_norm else hidden, output.pooler_output
    # ComfyUI's class: the layer is asked for, since its hidden states are all one tensor.
    output = transformer.text_model(
        tokens, intermediate_output=-skip, final_layer_norm_intermediate=with_norm
    )
    return output[1], output[2]


def _projected(network: TextNetwork, end: Tensor) -> Tensor:
    """The projected end token, (B, P)."""
    projection = getattr(network.transformer, "text_projection", None)
    if isinstance(projection, nn.Module):
        projected: Tensor = projection(end)
        return projected
    matrix = network.module.text_projection
    assert isinstance(matrix, Tensor)
    return end @ matrix.to(end.dtype)


def is_linear(module: nn.Module) -> bool:
    """True for a module that multiplies by a matrix, of whichever class.

    The program's Linear is not PyTorch's.
    """
    weight = module._parameters.get("weight")
    return weight is not None and weight.dim() == 2 and not isinstance(module, nn.Embedding)
