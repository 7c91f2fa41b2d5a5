"""Nearest upsampling by two and the frozen 3 × 3 convolution behind it in one operation, fp32, CPU.

A window of 3 × 3 pixels of the upsampled picture sees only 2 × 2 different ones: with the sums of
its taps four pixels are multiplied instead of nine.  Sums differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import onednn
from .frozen_linear import apply_frozen, autocast_enabled
from .patch import patched
from .winograd import is_frozen_conv3x3

UPSAMPLERS = ("Upsample2D", "Upsample")  # diffusers' class and ldm's
# Of the small picture; below them it saves nothing; measured
MIN_PIXELS = 256
MIN_CHANNELS = 128
OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (down, across) of the four pixels that come of one


# How the three taps of a row add up at the small size, where each pixel stands for two: (2, 3) for
# the upper pixel of the two, and for the lower.
_ROW_SUMS = (((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
# [down][across] -> (4, 9): the 2 × 2 kernel of an output pixel from the 3 × 3 taps
_TAP_SUMS = [
    [torch.kron(torch.tensor(down), torch.tensor(across)) for across in _ROW_SUMS]
    for down in _ROW_SUMS
]


def is_faster(x: Tensor, weight: Tensor) -> bool:
    """True if `upsample_conv` pays off.  x: (B, in, H, W).  weight: (out, in, 3, 3), frozen."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and min(weight.shape[:2]) >= MIN_CHANNELS
        and x.shape[-2] * x.shape[-1] >= MIN_PIXELS
    )


def upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """upsample(x) ⋆ weight + bias, with a border of one zero.

    x: (B, in, H, W).
    weight: (out, in, 3, 3).
    bias: (out,).
    Gives (B, out, 2H, 2W).
    """
    batch, channels, height, width = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    taps = _taps(weight)
    output = x.new_empty(batch, height, 2, width, 2, len(weight))
    for down, across in OFFSETS:
        # (B, H, W, in, 2, 2)
        windows = padded[:, down:, across:].unfold(1, 2, 1).unfold(2, 2, 1)[:, :height, :width]
        rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 4 * channels)
        kernel = torch.matmul(_TAP_SUMS[down][across], taps).view(len(weight), -1)
        output[:, :, down, :, across] = onednn.linear(rows, kernel, bias).view(
            batch, height, width, -1
        )
    return output.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


def upsample_conv_input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `upsample_conv`'s input from that of its output.

    grad: (B, out, 2H, 2W).
    weight: (out, in, 3, 3).
    Gives (B, in, H, W).
    """
    batch, out, height, width = grad.shape
    pixels = grad.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, out)
    taps = _taps(weight)
    channels = weight.shape[1]
    padded = grad.new_zeros(batch, height // 2 + 2, width // 2 + 2, channels)
    for down, across in OFFSETS:
        kernel = torch.matmul(_TAP_SUMS[down][across], taps).view(out, -1)
        windows = onednn.linear(pixels[:, :, down, :, across].reshape(-1, out), kernel.t())
        windows = windows.view(batch, height // 2, width // 2, 2, 2, channels)
        for below, beside in OFFSETS:
            top = down + below
            left = across + beside
            padded[:, top : top + height // 2, left : left + width // 2] += windows[
                :, :, :, below, beside
            ]
    return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _taps(weight: Tensor) -> Tensor:
    """(out, in, 3, 3) to (out, 9, in)."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], 9, weight.shape[1])


def upsample_convs(modules: Iterable[nn.Module]) -> AbstractContextManager[None]:
    """While inside, upsamplers by nearest pixels (ldm's and diffusers') convolve in the same pass.

    Where a LoRA or another extension takes part in the convolution, it stays as it was.
    """
    return patched(
        (module, "forward", _upsampler_forward(module.forward, module.conv))
        for module in modules
        if _is_plain_upsampler(module)
        and "forward" not in vars(module)
        and isinstance(getattr(module, "conv", None), nn.Conv2d)
        and is_frozen_conv3x3(module.conv)  # type: ignore[arg-type]
    )


def _is_plain_upsampler(module: nn.Module) -> bool:
    """True if it does nothing but upsample and convolve; diffusers' may also normalize."""
    more = getattr(module, "norm", None) is not None or not getattr(module, "interpolate", True)
    return type(module).__name__ in UPSAMPLERS and not more


def _upsampler_forward(plain: Callable[..., Tensor], conv: Any) -> Callable[..., Tensor]:
    def forward(x: Tensor, *more: Any, **named: Any) -> Tensor:
        weight = conv.weight
        # `apply_frozen` does not call the convolution: whatever hangs on it would be lost
        takes_part = (
            conv._forward_hooks
            or conv._forward_pre_hooks
            or "forward" in vars(conv)
            or weight.requires_grad
        )
        # An output size, which need not be twice its own
        sized = any(argument is not None for argument in (*more, *named.values()))
        if sized or takes_part or not is_faster(x, weight) or autocast_enabled(x.device.type):
            return plain(x, *more, **named)
        return apply_frozen(x, weight, conv.bias, upsample_conv, upsample_conv_input_gradient)

    return forward
