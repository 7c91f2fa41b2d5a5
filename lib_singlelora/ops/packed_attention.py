"""`nn.MultiheadAttention` whose four projections take hooks, and so LoRA branches.

Its query, key and value projections lie packed in `in_proj_weight`, and its output projection is
read, never called: hooks on them do nothing.  Inside `open_projections` they are modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import CheckpointError
from .patch import patched

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


class Projection(nn.Linear):
    """One projection of an attention as a module, whose output hooks may change.

    Its weight and bias are views of the attention's own, taken anew at each use: the attention may
    be moved to another device, or its weights unpacked, in the meantime.
    """

    def __init__(self, attention: nn.MultiheadAttention, name: str) -> None:
        nn.Module.__init__(self)
        self.in_features = self.out_features = attention.embed_dim
        self.name = name
        # In a list: the attention is not ours to hold as a child
        self._attention = [attention]

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(E, E)."""
        [attention] = self._attention
        if self.name == "out_proj":
            return attention.out_proj.weight
        assert attention.in_proj_weight is not None
        return attention.in_proj_weight.chunk(3)[PROJECTIONS.index(self.name)]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """(E,), None for none."""
        [attention] = self._attention
        if self.name == "out_proj":
            return attention.out_proj.bias
        bias = attention.in_proj_bias
        return None if bias is None else bias.chunk(3)[PROJECTIONS.index(self.name)]

    def forward(self, x: Tensor, output: Tensor | None = None) -> Tensor:
        """x Wᵀ + b; the attention gives it as `output`, where its packed product has it already."""
        return F.linear(x, self.weight, self.bias) if output is None else output

    def hooked(self, x: Tensor, output: Tensor) -> Tensor:
        """The output with what hooks make of it.

        x, output: (L, B, E); hooks see (B, L, E), as beside every other Linear.
        """
        if not self._forward_hooks:
            return output
        changed: Tensor = self(x.transpose(0, 1), output.transpose(0, 1))
        return changed.transpose(0, 1)


Opened = dict[str, Projection]


@contextmanager
def open_projections(attentions: Iterable[nn.MultiheadAttention]) -> Iterator[list[Opened]]:
    """For each attention its projections by name, whose hooks take part in it while inside.

    As long as no projection has a hook, the attention computes by its own forward; with hooks that
    change nothing it gives the same bits as PyTorch's own.  What was there before is back after the
    exit; every tensor stays where it is.
    Raises: CheckpointError, for an attention that keeps its projections otherwise.
    """
    attentions = list(attentions)
    for attention in attentions:
        packed = attention._qkv_same_embed_dim and attention.in_proj_weight is not None
        if not packed or attention.bias_k is not None or attention.add_zero_attn:
            raise CheckpointError(
                "found an attention whose query, key and value have weights of their own or a"
                " further bias, expected one packed weight as in CLIP; leave the text encoder"
                " untrained: training.text_encoder_lr=0"
            )
    opened = [{name: Projection(each, name) for name in PROJECTIONS} for each in attentions]
    with patched(
        (attention, "forward", _forward(attention, projections))
        for attention, projections in zip(attentions, opened, strict=True)
    ):
        yield opened


def _forward(
    attention: nn.MultiheadAttention, projections: Opened
) -> Callable[..., tuple[Tensor, Tensor | None]]:
    plain = attention.forward

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        options = key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
        if not any(projection._forward_hooks for projection in projections.values()):
            return plain(query, key, value, *options)
        sources = [query, key, value]
        # One transposed tensor where all three are one, so that they are seen to be
        batched, first = query.dim() == 3, attention.batch_first
        turned = {id(source): _length_first(source, batched, first) for source in sources}
        if key_padding_mask is not None and not batched:
            key_padding_mask = key_padding_mask[None]
        output, weights = _attend(
            attention,
            projections,
            [turned[id(source)] for source in sources],
            key_padding_mask,
            attn_mask,
            need_weights,
            is_causal,
        )
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return output[:, 0], None if weights is None else weights[0]
        return output.transpose(0, 1) if first else output, weights

    return forward


def _length_first(source: Tensor, batched: bool, batch_first: bool) -> Tensor:
    """(L, B, E)."""
    if not batched:
        return source[:, None]
    return source.transpose(0, 1) if batch_first else source


def _attend(
    attention: nn.MultiheadAttention,
    projections: Opened,
    sources: list[Tensor],
    padding: Tensor | None,
    mask: Tensor | None,
    need_weights: bool,
    is_causal: bool,
) -> tuple[Tensor, Tensor | None]:
    """(output (L, B, E), weights (B, heads, L, S) or None).

    sources: query (L, B, E), key and value (S, B, E).
    Source: torch.nn.functional.multi_head_attention_forward, whose order of operations this keeps,
    for the same bits.
    """
    heads = attention.num_heads
    length, batch, width = sources[0].shape
    query, key, value = (
        # (B, heads, length, width of a head)
        projections[name]
        .hooked(source, output)
        .contiguous()
        .view(len(source), batch * heads, width // heads)
        .transpose(0, 1)
        .view(batch, heads, len(source), width // heads)
        for name, source, output in zip(
            PROJECTIONS[:3], sources, _packed(attention, sources), strict=True
        )
    )
    dropout = attention.dropout if attention.training else 0.0
    hint = is_causal and padding is None and not need_weights
    mask = None if hint else _merged_mask(mask, padding, heads, query)
    weights = None
    if need_weights:
        scores = (query * math.sqrt(1 / query.shape[-1])) @ key.transpose(-2, -1)
        weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
        mixed = weights @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, hint)
    mixed = mixed.permute(2, 0, 1, 3).reshape(length * batch, width)
    out = F.linear(mixed, attention.out_proj.weight, attention.out_proj.bias)
    shape = (length, batch, width)
    return projections["out_proj"].hooked(mixed.view(shape), out.view(shape)), weights


def _packed(attention: nn.MultiheadAttention, sources: list[Tensor]) -> Iterable[Tensor]:
    """The three projections before hooks; one product where the sources are one tensor."""
    query, key, value = sources
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    assert weight is not None
    if query is key and key is value:
        return F.linear(query, weight, bias).chunk(3, dim=-1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return [
        F.linear(source, own, own_bias)
        for source, own, own_bias in zip(sources, weight.chunk(3), biases, strict=True)
    ]


def _merged_mask(
    mask: Tensor | None, padding: Tensor | None, heads: int, query: Tensor
) -> Tensor | None:
    """Both masks as one that is added to the scores, (B or 1, heads or 1, L or 1, S).

    mask: (L, S) or (B · heads, L, S); True or -inf where nothing may be looked at.
    padding: (B, S), likewise.
    """
    found = None
    if mask is not None:
        found = _additive(mask, query)
        found = found[None, None] if found.dim() == 2 else found.view(-1, heads, *found.shape[1:])
    if padding is not None:
        other = _additive(padding, query)[:, None, None]
        found = other if found is None else found + other
    return found


def _additive(mask: Tensor, query: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask, float("-inf"))
