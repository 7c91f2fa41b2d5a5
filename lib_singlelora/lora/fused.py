"""A frozen Linear and the LoRA beside it in one operation, which writes each output once.

At full size the sum of layer and branch costs a pass over the output; here the branch's product is
added to it as it is computed; likewise the input's gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops import onednn
from ..ops.frozen_linear import is_unpatched
from .branches import Branch, LoraBranch


class LinearWithLora(torch.autograd.Function):
    """x Wᵀ + b + (x downᵀ) upᵀ, where only down and up are trained."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        mask: Tensor | None,
        by_onednn: bool,
    ) -> Tensor:
        """Gives (…, out).

        x: (…, in).
        weight: (out, in).
        bias: (out,).
        down: (rank, in), already scaled by alpha / rank.
        up: (out, rank).
        mask: (B, rank), what x downᵀ is multiplied by; x is (B, …, in) then.
        by_onednn: True for oneDNN's products.
        """
        linear = onednn.linear if by_onednn else F.linear
        flat = x.reshape(-1, x.shape[-1])
        inner = _masked(linear(flat, down), mask)
        # The layer as it computes alone, so that an untrained LoRA (up is 0) changes no bit on any
        # processor.
        out = linear(flat, weight, bias).addmm_(inner, up.t())
        ctx.save_for_backward(flat, weight, down, up, inner, mask)
        ctx.shape = x.shape
        ctx.linear = linear
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The gradients of x, down and up."""
        flat, weight, down, up, inner, mask = ctx.saved_tensors
        [grad] = grads
        grad = grad.reshape(-1, grad.shape[-1])
        inner_grad = _masked(ctx.linear(grad, up.t()), mask)
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = ctx.linear(grad, weight.t()).addmm_(inner_grad, down).view(ctx.shape)
        return x_grad, None, None, inner_grad.t() @ flat, grad.t() @ inner, None, None


def _masked(inner: Tensor, mask: Tensor | None) -> Tensor:
    """inner: (rows, rank), the same number of rows for each sample.  mask: (B, rank)."""
    if mask is None:
        return inner
    return (inner.view(len(mask), -1, inner.shape[-1]) * mask[:, None]).view(inner.shape)


def fusible(module: nn.Module, branch: Branch) -> bool:
    """True for an unpatched frozen Linear and a LoRA that leaves nothing out at random."""
    if type(module) is not nn.Linear or not isinstance(branch, LoraBranch):
        return False
    random = branch.dropout or branch.rank_dropout or branch.module_dropout
    return is_unpatched(module) and not random and not module.weight.requires_grad


def fused_forward(module: nn.Linear, branch: LoraBranch, x: Tensor, by_onednn: bool) -> Tensor:
    """The module's output with the branch's added.  by_onednn: True for oneDNN's products."""
    down = branch.down.to(x.dtype) * (branch.alpha / branch.rank)
    up = branch.up.to(x.dtype)
    mask = branch.rank_mask()
    mask = None if mask is None else mask.to(x.dtype)
    apply: Any = LinearWithLora.apply  # PyTorch leaves it without types
    output: Tensor = apply(x, module.weight, module.bias, down, up, mask, by_onednn)
    return output
