"""The layout of frozen convolutions' weights in memory, changed for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Others (fp8, a program's quantized ones) are unpacked by whoever computes with them
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def plainly_laid(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The convolutions' weights that `channels_last_convs` would lay anew, each once.

    Not those of one pixel (or of one input channel): in memory they are the same numbers in the
    same order either way, and the layout of what such a convolution computes follows its input.
    Nor what already lies channels last, as with the WebUI's --opt-channelslast, or in any way of
    its own.
    """
    found: dict[int, nn.Parameter] = {}
    for module in modules:
        weight = module.weight if isinstance(module, nn.Conv2d) else None
        # A program's quantized weights are of classes of their own
        if type(weight) is nn.Parameter and _is_plain(weight):
            found[id(weight)] = weight
    return list(found.values())


@contextmanager
def channels_last_convs(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, the modules' convolutions have their weights channels last.

    Parameters stay the same objects and values the same bits; one weight at a time is there twice.
    Afterwards, after an error too, each lies as it did, wherever it was moved meanwhile.
    """
    laid: list[nn.Parameter] = []
    try:
        for weight in plainly_laid(modules):
            laid.append(weight)
            _lay(weight, torch.channels_last)
        yield
    finally:
        for weight in laid:
            _lay(weight, torch.contiguous_format)


def _is_plain(weight: nn.Parameter) -> bool:
    return (
        weight.dim() == 4
        and weight.dtype in DTYPES
        and not weight.is_inference()  # nothing else may be put in its place
        and weight.is_contiguous()
        and not weight.is_contiguous(memory_format=torch.channels_last)
    )


def _lay(weight: nn.Parameter, layout: torch.memory_format) -> None:
    try:
        weight.data = weight.data.contiguous(memory_format=layout)
    except RuntimeError:
        # A GPU without room for one weight more, where an error that is on its way out still holds
        # a pass: through the CPU, so that its place is free before it is needed again
        device = weight.device
        weight.data = weight.data.cpu().contiguous(memory_format=layout)
        weight.data = weight.data.to(device)
