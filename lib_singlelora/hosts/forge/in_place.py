"""Additions in place, which these programs' blocks make where autograd needs the value before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...ops.patch import patched

# A norm's input is kept for the backward pass, and these blocks then add to it in place:
# a transformer block of the U-Net, and a layer of CLIP.
NORMS = {"attn1": ("norm1", "norm2"), "self_attn": ("layer_norm1", "layer_norm2")}


@contextmanager
def additions_in_place(parts: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, `x += …` between the norms of a block leaves what autograd keeps as it was.

    Each norm gets a copy of its input, and each block adds to a copy of its own: gradient
    checkpointing computes a block a second time, from an input that must not have changed.
    """
    blocks = [
        (module, norms)
        for part in parts
        for module in part.modules()
        for attention, norms in NORMS.items()
        if hasattr(module, attention) and hasattr(module, norms[0])
    ]
    with ExitStack() as stack:
        for block, norms in blocks:
            for name in norms:
                norm = getattr(block, name, None)
                if isinstance(norm, nn.Module):
                    stack.callback(norm.register_forward_pre_hook(_copied).remove)
        stack.enter_context(
            patched((block, "forward", _on_a_copy(block.forward)) for block, _ in blocks)
        )
        yield


def _copied(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (_copy(inputs[0]), *inputs[1:])


def _on_a_copy(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Tensor, *rest: Any, **named: Any) -> Any:
        return forward(_copy(x), *rest, **named)

    return call


def _copy(x: Tensor) -> Tensor:
    return x.clone() if torch.is_grad_enabled() else x
