"""A frozen Linear and the LoRA beside it in one operation: neither the output nor the input's gradient is written twice.

At full size the sum of layer and branch costs a pass over the output; here the branch's product is added to it as it is computed.
Inside `faster` oneDNN multiplies, where it can, in a Linear with a LoRA and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import onednn
from .branches import Branch, LoraBranch

Compute = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Gradient = Callable[[Tensor, Tensor], Tensor]


class LinearWithLora(torch.autograd.Function):
    """x Wᵀ + b + (x downᵀ) upᵀ, where only down and up are trained."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, fast: bool) -> Tensor:
        """x: (…, in).  weight: (out, in).  bias: (out,).  down: (r, in), scaled.  up: (out, r).  fast: by oneDNN."""
        linear = onednn.linear if fast else F.linear
        flat = x.reshape(-1, x.shape[-1])
        inner = linear(flat, down)
        # The layer as it computes alone, so that an untrained LoRA (up is 0) changes no bit on any processor.
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


class _Frozen(torch.autograd.Function):
    """An operation whose weight and bias take no gradient; keeps the weight only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, compute: Compute, gradient: Gradient) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.gradient = gradient
        return compute(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        [weight], [grad] = ctx.saved_tensors, grads
        return ctx.gradient(grad, weight), None, None, None, None


def frozen(x: Tensor, weight: Tensor, bias: Tensor | None, compute: Compute, gradient: Gradient) -> Tensor:
    """compute(x, weight, bias), where weight and bias are frozen; gradient(of the output, weight) is that of x."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return compute(x, weight, bias)
    made: Tensor = _Frozen.apply(x, weight, bias, compute, gradient)  # type: ignore[no-untyped-call]
    return made


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return onednn.linear(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], weight.shape[0])


def _back_by_onednn(grad: Tensor, weight: Tensor) -> Tensor:
    return _by_onednn(grad, weight.t(), None)


class _Fast:
    """Stands in for a frozen Linear's forward."""

    def __init__(self, module: nn.Linear) -> None:
        self._module = module

    def __call__(self, x: Tensor) -> Tensor:
        weight, bias = self._module.weight, self._module.bias
        if x.dtype != weight.dtype or autocasting(x.device.type):
            return F.linear(x, weight, bias)
        return frozen(x, weight, bias, _by_onednn, _back_by_onednn)


def autocasting(device: str) -> bool:
    """Whether autocast is at work there; PyTorch's own functions know what to do then."""
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # before torch 2.4 there is a function for each device
        return bool(torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled())


@contextmanager
def faster(targets: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
    """While inside, oneDNN multiplies for the targets' frozen fp32 Linears on a CPU.

    Works on instances; a Linear that somebody else patched stays as it is.
    """
    changed: list[nn.Module] = []
    try:
        for _, module in targets:
            if type(module) is nn.Linear and _plain(module) and onednn.takes(module.weight) and not module.weight.requires_grad:
                vars(module)["forward"] = _Fast(module)
                changed.append(module)
        yield
    finally:
        for module in changed:
            del vars(module)["forward"]


def _plain(module: nn.Linear) -> bool:
    """Whether nobody patched it but us."""
    return (is_fast(module) or "forward" not in vars(module)) and type(module).forward.__module__ == "torch.nn.modules.linear"


def fusible(module: nn.Module, branch: Branch) -> bool:
    """Whether the two may be one: a plain Linear that nobody patched, and a LoRA that leaves nothing out at random."""
    if type(module) is not nn.Linear or not isinstance(branch, LoraBranch):
        return False
    random = branch.dropout or branch.rank_dropout or branch.module_dropout
    return _plain(module) and not random and not module.weight.requires_grad


def fused_forward(module: nn.Linear, branch: LoraBranch, x: Tensor, fast: bool) -> Tensor:
    """The module's output with the branch's share.  fast: by oneDNN."""
    down, up = branch.down.to(x.dtype) * (branch.alpha / branch.rank), branch.up.to(x.dtype)
    made: Tensor = LinearWithLora.apply(x, module.weight, module.bias, down, up, fast)  # type: ignore[no-untyped-call]
    return made


def is_fast(module: nn.Linear) -> bool:
    """Whether it is inside `faster`."""
    return isinstance(vars(module).get("forward"), _Fast)
