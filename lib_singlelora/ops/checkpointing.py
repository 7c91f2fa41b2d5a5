"""Gradient checkpointing over the networks that a host lends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .patch import patched


def checkpointed(
    blocks: Iterable[nn.Module], again: Callable[[], AbstractContextManager[None]] = nullcontext
) -> AbstractContextManager[None]:
    """While inside, blocks keep their inputs only and compute the rest again in the backward pass.

    Works on instances and through hooks: the host's classes and the LoRA's branches stay as they
    are.
    again: called as a block computes; what it gives surrounds the block's second computation, so
        that whatever else it depends on can be as it was.
    Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    """
    return patched((block, "forward", _checkpointing(block.forward, again)) for block in blocks)


def _checkpointing(
    forward: Callable[..., Any], again: Callable[[], AbstractContextManager[None]]
) -> Callable[..., Any]:
    def surroundings() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), again()

    def call(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=surroundings, **named)

    return call
