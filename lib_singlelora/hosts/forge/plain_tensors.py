"""Inference tensors replaced by plain ones on the same memory.

A tensor that was made or moved under `torch.inference_mode` can never be saved for a backward pass,
whatever mode is entered later, and these programs load and patch their networks in that mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def plain_tensors(parts: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, no parameter and no buffer of the parts is an inference tensor.

    Nothing is copied: a plain tensor lies on the memory of the one that it stands for.  Afterwards
    the modules hold the very objects that they held.
    """
    plain: dict[int, Tensor] = {}  # one for all places of a tensor that several modules share
    earlier: list[tuple[MutableMapping[str, Any], str, Tensor]] = []
    try:
        with torch.inference_mode(False):
            for part in parts:
                for module in part.modules():
                    _replace(module._parameters, True, plain, earlier)
                    _replace(module._buffers, False, plain, earlier)
        yield
    finally:
        for tensors, name, tensor in reversed(earlier):
            tensors[name] = tensor


def _replace(
    tensors: MutableMapping[str, Any],
    are_parameters: bool,
    plain: dict[int, Tensor],
    earlier: list[tuple[MutableMapping[str, Any], str, Tensor]],
) -> None:
    for name, tensor in list(tensors.items()):
        if tensor is None or not tensor.is_inference():
            continue
        if id(tensor) not in plain:
            twin = _on_the_same_memory(tensor)
            plain[id(tensor)] = nn.Parameter(twin, requires_grad=False) if are_parameters else twin
        earlier.append((tensors, name, tensor))
        tensors[name] = plain[id(tensor)]


def _on_the_same_memory(tensor: Tensor) -> Tensor:
    twin = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return twin.set_(
        tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride()
    )
