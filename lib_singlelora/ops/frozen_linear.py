"""A layer whose weights are frozen: what is kept for its backward pass, and oneDNN for its
products.

Inside `onednn_linears` oneDNN multiplies, where it can, in a Linear with a LoRA and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import onednn

Compute = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Gradient = Callable[[Tensor, Tensor], Tensor]


class _Frozen(torch.autograd.Function):
    """An operation whose weight and bias take no gradient; keeps the weight only."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        compute: Compute,
        gradient: Gradient,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.gradient = gradient
        return compute(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        [weight], [grad] = ctx.saved_tensors, grads
        return ctx.gradient(grad, weight), None, None, None, None


def frozen(
    x: Tensor, weight: Tensor, bias: Tensor | None, compute: Compute, gradient: Gradient
) -> Tensor:
    """compute(x, weight, bias), where weight and bias are frozen; gradient(of the output, weight)
    is that of x.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return compute(x, weight, bias)
    made: Tensor = _Frozen.apply(x, weight, bias, compute, gradient)  # type: ignore[no-untyped-call]
    return made


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return onednn.linear(x.reshape(-1, x.shape[-1]), weight, bias).view(
        *x.shape[:-1], weight.shape[0]
    )


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
        return bool(
            torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()
        )


@contextmanager
def onednn_linears(targets: Iterable[tuple[str, nn.Module]]) -> Iterator[None]:
    """While inside, oneDNN multiplies for the targets' frozen fp32 Linears on a CPU.

    Works on instances; a Linear that somebody else patched stays as it is.
    """
    changed: list[nn.Module] = []
    try:
        for _, module in targets:
            if (
                type(module) is nn.Linear
                and is_plain(module)
                and onednn.takes(module.weight)
                and not module.weight.requires_grad
            ):
                vars(module)["forward"] = _Fast(module)
                changed.append(module)
        yield
    finally:
        for module in changed:
            del vars(module)["forward"]


def is_plain(module: nn.Linear) -> bool:
    """Whether nobody patched it but us."""
    return (is_fast(module) or "forward" not in vars(module)) and type(
        module
    ).forward.__module__ == "torch.nn.modules.linear"


def is_fast(module: nn.Linear) -> bool:
    """Whether it is inside `onednn_linears`."""
    return isinstance(vars(module).get("forward"), _Fast)
