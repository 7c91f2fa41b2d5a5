"""Layers with frozen weights: what their backward pass keeps, and oneDNN for their products.

Inside `onednn_linears` oneDNN multiplies, where it can, in a Linear with a LoRA and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import onednn
from .patch import patched

Forward = Callable[[Tensor, Tensor, Tensor | None], Tensor]
InputGradient = Callable[[Tensor, Tensor], Tensor]


class _FrozenOperation(torch.autograd.Function):
    """An operation whose weight and bias take no gradient; keeps the weight only."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        forward: Forward,
        input_gradient: InputGradient,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.input_gradient = input_gradient
        return forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        [weight] = ctx.saved_tensors
        [grad] = grads
        return ctx.input_gradient(grad, weight), None, None, None, None


def apply_frozen(
    x: Tensor, weight: Tensor, bias: Tensor | None, forward: Forward, input_gradient: InputGradient
) -> Tensor:
    """forward(x, weight, bias) with a frozen weight and bias; autograd keeps the weight alone.

    input_gradient: (gradient of the output, weight) -> gradient of x.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return forward(x, weight, bias)
    apply: Any = _FrozenOperation.apply  # PyTorch leaves it without types
    output: Tensor = apply(x, weight, bias, forward, input_gradient)
    return output


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x: (…, in).  weight: (out, in).  Gives (…, out)."""
    rows = onednn.linear(x.reshape(-1, x.shape[-1]), weight, bias)
    return rows.view(*x.shape[:-1], weight.shape[0])


def _onednn_linear_input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    return _onednn_linear(grad, weight.t(), None)


class _OnednnForward:
    """Stands in for a frozen Linear's forward."""

    def __init__(self, module: nn.Linear) -> None:
        self._module = module

    def __call__(self, x: Tensor) -> Tensor:
        weight = self._module.weight
        bias = self._module.bias
        if x.dtype != weight.dtype or autocast_enabled(x.device.type):
            return F.linear(x, weight, bias)
        return apply_frozen(x, weight, bias, _onednn_linear, _onednn_linear_input_gradient)


def autocast_enabled(device: str) -> bool:
    """True if autocast is on for the device: PyTorch's own functions know what to do then."""
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # before torch 2.4 there is a function for each device
        return bool(
            torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()
        )


def onednn_linears(targets: Iterable[tuple[str, nn.Module]]) -> AbstractContextManager[None]:
    """While inside, oneDNN multiplies for the targets' frozen fp32 Linears on a CPU.

    Works on instances; a Linear that is patched already stays as it is.
    """
    return patched(
        (module, "forward", _OnednnForward(module))
        for _, module in targets
        if type(module) is nn.Linear
        and is_unpatched(module)
        and onednn.supports(module.weight)
        and not module.weight.requires_grad
    )


def is_unpatched(module: nn.Linear) -> bool:
    """True if the Linear computes as PyTorch's does: only `onednn_linears` may have patched it.

    The WebUI's Lora extension replaces `torch.nn.Linear.forward` itself, which its module tells.
    """
    instance = uses_onednn(module) or "forward" not in vars(module)
    return instance and type(module).forward.__module__ == "torch.nn.modules.linear"


def uses_onednn(module: nn.Linear) -> bool:
    """True if the Linear is inside `onednn_linears`."""
    return isinstance(vars(module).get("forward"), _OnednnForward)
