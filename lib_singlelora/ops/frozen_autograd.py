"""Frozen parts that keep less for the backward pass than PyTorch's own, at the same values bit for
bit.

PyTorch keeps a convolution's input although a frozen weight needs no gradient: at 512² that is two
fifths of all that a full-size step keeps.  GEGLU's gate is computed again instead of kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frozen_linear import autocasting

aten = torch.ops.aten


class FrozenConv(torch.autograd.Function):
    """A convolution whose weight and bias take no gradient: its input's shape is kept, not its
    input.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        """how: stride, padding, dilation, groups."""
        ctx.save_for_backward(weight)
        ctx.shape, ctx.kind, ctx.how = x.shape, x.dtype, how
        last = any(
            one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous()
            for one in (x, weight)
        )
        # Of both, as the backends choose
        ctx.layout = torch.channels_last if last else torch.contiguous_format
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The gradient of x."""
        [weight], [grad], (stride, padding, dilation, groups) = ctx.saved_tensors, grads, ctx.how
        # Only its shape is read; memory that nobody writes to costs nothing.
        x = torch.empty(ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=ctx.layout)
        found = aten.convolution_backward(
            grad,
            x,
            weight.to(grad.dtype),
            None,
            stride,
            padding,
            dilation,
            False,
            (0, 0),
            groups,
            (True, False, False),
        )[0]
        return found.to(ctx.kind), None, None, None, None, None, None


class Gated(torch.autograd.Function):
    """a · gelu(b) of the two halves of the last dimension, keeping what it is given only."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        """both: (..., 2n) to (..., n)."""
        ctx.save_for_backward(both)
        hidden, gate = both.chunk(2, dim=-1)
        return F.gelu(gate).mul_(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient of both halves, in one tensor."""
        [both], [grad] = ctx.saved_tensors, grads
        hidden, gate = both.chunk(2, dim=-1)
        found = torch.empty_like(both)
        first, second = found.chunk(2, dim=-1)
        torch.mul(grad, F.gelu(gate), out=first)
        second.copy_(aten.gelu_backward(grad * hidden, gate))
        return found


@contextmanager
def frozen_autograd(
    targets: Iterable[tuple[str, nn.Module]], blocks: Iterable[nn.Module]
) -> Iterator[None]:
    """While inside, frozen convolutions among the targets and GEGLU in the blocks keep less.

    Works on instances, so that the host's classes, its hooks and its own patches stay as they are.
    """
    changed: list[tuple[nn.Module, str]] = []
    try:
        for _, module in targets:
            if (
                isinstance(module, nn.Conv2d)
                and module.padding_mode == "zeros"
                and not isinstance(module.padding, str)
            ):
                _put(module, "_conv_forward", _conv(module), changed)
        for block in blocks:
            for module in block.modules():
                if type(module).__name__ == "GEGLU" and isinstance(
                    getattr(module, "proj", None), nn.Linear
                ):
                    _put(module, "forward", _geglu(module), changed)
        yield
    finally:
        for module, name in changed:
            del module.__dict__[name]


def _put(
    module: nn.Module, name: str, made: Callable[..., Tensor], changed: list[tuple[nn.Module, str]]
) -> None:
    if name not in module.__dict__:  # what somebody else put there stays
        module.__dict__[name] = made
        changed.append((module, name))


def _conv(module: nn.Conv2d) -> Callable[..., Tensor]:
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        how: Any = (module.stride, module.padding, module.dilation, module.groups)
        if weight.requires_grad or not (torch.is_grad_enabled() and x.requires_grad):
            return F.conv2d(x, weight, bias, *how)
        made: Tensor = FrozenConv.apply(x, weight, bias, *how)  # type: ignore[no-untyped-call]
        return made

    return forward


def _geglu(module: nn.Module) -> Callable[..., Tensor]:
    def forward(hidden: Tensor, *unused: Any, **more: Any) -> Tensor:
        made: Tensor = Gated.apply(module.proj(hidden))  # type: ignore[no-untyped-call, operator]
        return made

    return forward


class CastLinear(torch.autograd.Function):
    """A frozen Linear under autocast to other numbers than its weight's.

    PyTorch keeps the weight as it was cast, for all layers at once: half a gigabyte for Stable
    Diffusion 1, four for XL.  Here the weight itself is kept, and cast again on the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x: (…, in).  weight: (out, in).  bias: (out,)."""
        ctx.save_for_backward(weight)
        ctx.kind = x.dtype
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The gradient of x."""
        [weight], [grad] = ctx.saved_tensors, grads
        return F.linear(grad, weight.to(grad.dtype).t()).to(ctx.kind), None, None


@contextmanager
def cast_again(targets: Iterable[tuple[str, nn.Module]], dtype: torch.dtype) -> Iterator[None]:
    """While inside, frozen Linears whose weights are of another dtype than the pass keep no cast
    copy of them.
    """
    changed: list[tuple[nn.Module, str]] = []
    try:
        for _, module in targets if dtype != torch.float32 else ():
            if (
                type(module) is nn.Linear
                and module.weight.dtype != dtype
                and not module.weight.requires_grad
            ):
                _put(module, "forward", _casting(module, module.forward), changed)
        yield
    finally:
        for module, name in changed:
            del module.__dict__[name]


def _casting(module: nn.Linear, plain: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad and autocasting(x.device.type)):
            return plain(x)
        made: Tensor = CastLinear.apply(x, module.weight, module.bias)  # type: ignore[no-untyped-call]
        return made

    return forward
