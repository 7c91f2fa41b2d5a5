"""A frozen Linear and the LoRA beside it in one operation: neither the output nor the input's
gradient is written twice.

At full size the sum of layer and branch costs a pass over the output; here the branch's product is
added to it as it is computed.
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
        fast: bool,
    ) -> Tensor:
        """x: (…, in).

        weight: (out, in).
        bias: (out,).
        down: (r, in), scaled.
        up: (out, r).
        fast: by oneDNN.
        """
        linear = onednn.linear if fast else F.linear
        flat = x.reshape(-1, x.shape[-1])
        inner = linear(flat, down)
        # The layer as it computes alone, so that an untrained LoRA (up is 0) changes no bit on any
        # processor.
        out = linear(flat, weight, bias).addmm_(inner, up.t())
        ctx.save_for_backward(flat, weight, down, up, inner)
        ctx.shape, ctx.linear = x.shape, linear
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The gradients of x, down and up."""
        flat, weight, down, up, inner = ctx.saved_tensors
        [grad] = grads
        grad = grad.reshape(-1, grad.shape[-1])
        of_inner = ctx.linear(grad, up.t())
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = ctx.linear(grad, weight.t()).addmm_(of_inner, down).view(ctx.shape)
        return of_x, None, None, of_inner.t() @ flat, grad.t() @ inner, None


def fusible(module: nn.Module, branch: Branch) -> bool:
    """Whether the two may be one: a plain Linear that nobody patched, and a LoRA that leaves
    nothing out at random.
    """
    if type(module) is not nn.Linear or not isinstance(branch, LoraBranch):
        return False
    random = branch.dropout or branch.rank_dropout or branch.module_dropout
    return is_unpatched(module) and not random and not module.weight.requires_grad


def fused_forward(module: nn.Linear, branch: LoraBranch, x: Tensor, fast: bool) -> Tensor:
    """The module's output with the branch's share.  fast: by oneDNN."""
    down, up = branch.down.to(x.dtype) * (branch.alpha / branch.rank), branch.up.to(x.dtype)
    made: Tensor = LinearWithLora.apply(x, module.weight, module.bias, down, up, fast)  # type: ignore[no-untyped-call]
    return made
