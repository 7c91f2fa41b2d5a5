"""Gradient checkpointing over whatever networks a host lends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def checkpointed(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, blocks keep their inputs only and compute the rest again in the backward pass.

    Works on instances and through hooks, so that the host's classes and the LoRA's branches stay as
    they are.
    """
    changed = []
    try:
        for block in blocks:
            had = block.__dict__.get("forward")
            block.forward = _recomputing(block.forward)
            changed.append((block, had))
        yield
    finally:
        for block, had in changed:
            if had is None:
                del block.__dict__["forward"]
            else:
                block.forward = had


def _recomputing(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    return call
