"""An fp32 Linear on a CPU by oneDNN, which multiplies faster there than PyTorch's default (MKL).

Measured at a full-size step's shapes on two cores: 0.7 to 0.95 of the time.  Sums differ in their
last bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def _linear_pointwise() -> Any:
    """PyTorch's private operation, which torch.compile uses; None where this build has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_LINEAR = _linear_pointwise()
# Below it, calling oneDNN costs more than it saves; measured
MIN_MULTIPLICATIONS = 4_000_000


def supports(weight: Tensor) -> bool:
    """True if oneDNN can multiply by this weight: fp32, on a CPU, with a PyTorch that has it."""
    return _LINEAR is not None and weight.device.type == "cpu" and weight.dtype == torch.float32


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, as F.linear; small products and what oneDNN does not support go to F.linear.

    x: (rows, in).
    weight: (out, in), of any strides.
    bias: (out,).
    Keeps nothing for a backward pass, and autocast does not reach it.
    """
    large = x.numel() * weight.shape[0] >= MIN_MULTIPLICATIONS
    if x.dtype == weight.dtype and supports(weight) and large:
        product: Tensor = _LINEAR(x, weight, bias, "none", [], "")
        return product
    return F.linear(x, weight, bias)
