"""Gradient checkpointing over the networks that a host lends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .patch import patched


def checkpointed(blocks: Iterable[nn.Module]) -> AbstractContextManager[None]:
    """While inside, blocks keep their inputs only and compute the rest again in the backward pass.

    Works on instances and through hooks: the host's classes and the LoRA's branches stay as they
    are.
    Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    """
    return patched((block, "forward", _checkpointing(block.forward)) for block in blocks)


def _checkpointing(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    return call
