"""A frozen convolution behind an enlargement by two, as the one operation that both are, in fp32 on
a CPU.

A window of 3 × 3 pixels of the enlarged picture sees only 2 × 2 different ones: with the sums of
its taps four pixels are multiplied instead of nine.  Sums differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import onednn
from .frozen_linear import autocasting, frozen
from .winograd import plain

ENLARGING = ("Upsample2D", "Upsample")
PIXELS, CHANNELS = 256, 128  # of the small picture, below which it gains nothing; measured
PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))  # of the four pixels that come of one: (down, across)


# What the three taps of a row come to at the small size, where its pixels are twice as large: for
# the upper pixel of the two, and for the lower.
_SUMS = (((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
_TAPS = [
    [torch.kron(torch.tensor(down), torch.tensor(across)) for across in _SUMS] for down in _SUMS
]


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether a picture (B, C, H, W) and a frozen 3 × 3 weight gain by it."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and min(weight.shape[:2]) >= CHANNELS
        and x.shape[-2] * x.shape[-1] >= PIXELS
    )


def doubled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x at twice its size, each pixel four times, then ⋆ weight + bias.

    x: (B, in, H, W); weight: (out, in, 3, 3).
    """
    batch, channels, height, width = x.shape
    pictures = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    taps = _taps(weight)
    made = x.new_empty(batch, height, 2, width, 2, len(weight))
    for down, across in PLACES:
        # (B, H, W, in, 2, 2)
        own = pictures[:, down:, across:].unfold(1, 2, 1).unfold(2, 2, 1)[:, :height, :width]
        seen = own.permute(0, 1, 2, 4, 5, 3).reshape(-1, 4 * channels)
        kernel = torch.matmul(_TAPS[down][across], taps).view(len(weight), -1)
        made[:, :, down, :, across] = onednn.linear(seen, kernel, bias).view(
            batch, height, width, -1
        )
    return made.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `doubled`'s input from that of its output: (B, out, 2H, 2W) to (B, in, H, W)."""
    batch, out, height, width = grad.shape
    given = grad.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, out)
    taps, channels = _taps(weight), weight.shape[1]
    made = grad.new_zeros(batch, height // 2 + 2, width // 2 + 2, channels)
    for down, across in PLACES:
        kernel = torch.matmul(_TAPS[down][across], taps).view(out, -1)
        seen = onednn.linear(given[:, :, down, :, across].reshape(-1, out), kernel.t())
        seen = seen.view(batch, height // 2, width // 2, 2, 2, channels)
        for below, beside in PLACES:
            top, left = down + below, across + beside
            made[:, top : top + height // 2, left : left + width // 2] += seen[
                :, :, :, below, beside
            ]
    return made[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _taps(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], 9, weight.shape[1])


@contextmanager
def upsample_convs(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While inside, modules that enlarge by nearest pixels and convolve (`conv`; ldm's and
    diffusers') do both at once.

    Where a LoRA or anybody else takes part in the convolution, it stays as it was.
    """
    changed: list[nn.Module] = []
    try:
        for module in modules:
            conv = getattr(module, "conv", None)
            if (
                _known(module)
                and "forward" not in vars(module)
                and isinstance(conv, nn.Conv2d)
                and plain(conv)
            ):
                vars(module)["forward"] = _enlarge(module.forward, conv)
                changed.append(module)
        yield
    finally:
        for module in changed:
            del vars(module)["forward"]


def _known(module: nn.Module) -> bool:
    """Whether it does nothing else; diffusers' can."""
    other = getattr(module, "norm", None) is not None or not getattr(module, "interpolate", True)
    return type(module).__name__ in ENLARGING and not other


def _enlarge(otherwise: Callable[..., Tensor], conv: nn.Conv2d) -> Callable[..., Tensor]:
    def forward(x: Tensor, *more: Any, **named: Any) -> Tensor:
        weight, bias = conv.weight, conv.bias
        alone = not (
            conv._forward_hooks
            or conv._forward_pre_hooks
            or "forward" in vars(conv)
            or weight.requires_grad
        )
        # A size that is not twice its own
        asked = any(one is not None for one in (*more, *named.values()))
        if asked or not alone or not takes(x, weight) or autocasting(x.device.type):
            return otherwise(x, *more, **named)
        return frozen(x, weight, bias, doubled, gradient)

    return forward
