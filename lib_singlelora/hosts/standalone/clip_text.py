"""CLIP's text model, under transformers' names and with its arithmetic.

Its own, since importing transformers' takes longer than everything else that a training needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def quick_gelu(values: Tensor) -> Tensor:
    """The approximation of GELU that OpenAI's CLIP was trained with."""
    return values * torch.sigmoid(1.702 * values)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": quick_gelu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True)
class ClipTextConfig:
    """The sizes of a CLIP text model.

    hidden_act: of its MLPs, a name in ACTIVATIONS.

    Raises:
        ValueError: heads do not divide the width.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    hidden_act: str = "quick_gelu"

    def __post_init__(self) -> None:
        if self.num_attention_heads < 1 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"a text encoder of {self.hidden_size} channels with {self.num_attention_heads}"
                " heads, which do not divide them"
            )


@dataclass(frozen=True)
class ClipTextOutput:
    """What a pass gives.

    hidden_states: (B, n, D) before the first layer and behind each, without the final norm;
        empty unless they were asked for.
    last_hidden_state: (B, n, D) behind the final norm.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] = ()


class ClipTextModel(nn.Module):
    """CLIP's text model, without a projection.

    Source: transformers, models/clip/modeling_clip.py, CLIPTextModel, whose modules it names alike
    and in the same order; OpenAI's CLIP, clip/model.py.
    """

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size)

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False) -> ClipTextOutput:
        """Hidden states of token ids (B, n)."""
        hidden = self.embeddings(input_ids)
        states = [hidden]
        for layer in self.encoder.layers:
            hidden = layer(hidden)
            states.append(hidden)
        last = self.final_layer_norm(hidden)
        return ClipTextOutput(last, tuple(states) if output_hidden_states else ())


class _Embeddings(nn.Module):
    position_ids: Tensor

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        # No file has them, so they are not left unfilled as what a file fills
        places = torch.arange(config.max_position_embeddings, device="cpu")[None]
        self.register_buffer("position_ids", places, persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        tokens: Tensor = self.token_embedding(input_ids)
        places: Tensor = self.position_embedding(self.position_ids[:, : input_ids.shape[-1]])
        return tokens + places


class _Encoder(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))


class _Layer(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size)
        self.mlp = _Mlp(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        attended: Tensor = hidden + self.self_attn(self.layer_norm1(hidden))
        return attended + cast("Tensor", self.mlp(self.layer_norm2(attended)))


class _Attention(nn.Module):
    """Causal attention; a token sees itself and those before it."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = (
            self._headed(projection(hidden))
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(hidden.shape)
        attended: Tensor = self.out_proj(mixed)
        return attended

    def _headed(self, hidden: Tensor) -> Tensor:
        """(B, n, D) to (B, heads, n, D / heads)."""
        batch, length, width = hidden.shape
        return hidden.view(batch, length, self.heads, width // self.heads).transpose(1, 2)


class _Mlp(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        inner: Tensor = self.fc1(hidden)
        outer: Tensor = self.fc2(self.activation(inner))
        return outer
