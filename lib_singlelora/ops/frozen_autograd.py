"""Frozen layers that keep less for the backward pass than PyTorch's own, bit for bit the same.

PyTorch keeps a convolution's input although a frozen weight needs no gradient: at 512² that is two
fifths of all that a full-size step keeps.  GEGLU's gate is computed again instead of kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frozen_linear import autocast_enabled
from .patch import patched

aten = torch.ops.aten


class FrozenConv(torch.autograd.Function):
    """A 2D convolution whose weight and bias take no gradient: keeps its input's shape only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
        """x ⋆ weight + bias.

        x: (B, in, H, W).
        weight: (out, in / groups, kh, kw).
        options: stride, padding, dilation, groups.
        """
        ctx.save_for_backward(weight)
        ctx.shape = x.shape
        ctx.dtype = x.dtype
        ctx.options = options
        channels_last = any(
            tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
            for tensor in (x, weight)
        )
        # Of both, as the backends choose
        ctx.layout = torch.channels_last if channels_last else torch.contiguous_format
        return F.conv2d(x, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The gradient of x."""
        [weight] = ctx.saved_tensors
        [grad] = grads
        stride, padding, dilation, groups = ctx.options
        # Only its shape is read, and memory that is never written to costs nothing.
        x = torch.empty(ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=ctx.layout)
        input_grad = aten.convolution_backward(
            grad,
            x,
            weight.to(grad.dtype),
            None,  # sizes of the bias
            stride,
            padding,
            dilation,
            False,  # transposed
            (0, 0),  # output padding
            groups,
            (True, False, False),  # gradients wanted: of the input, the weight, the bias
        )[0]
        return input_grad.to(ctx.dtype), None, None, None, None, None, None


class Geglu(torch.autograd.Function):
    """a · gelu(b) of the two halves of the last dimension; keeps its input only.

    Source: Shazeer 2020, "GLU Variants Improve Transformer".
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor) -> Tensor:
        """projected: (…, 2n).  Gives (…, n)."""
        ctx.save_for_backward(projected)
        hidden, gate = projected.chunk(2, dim=-1)
        return F.gelu(gate).mul_(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient of both halves, (…, 2n)."""
        [projected] = ctx.saved_tensors
        [grad] = grads
        hidden, gate = projected.chunk(2, dim=-1)
        input_grad = torch.empty_like(projected)
        hidden_grad, gate_grad = input_grad.chunk(2, dim=-1)
        torch.mul(grad, F.gelu(gate), out=hidden_grad)
        gate_grad.copy_(aten.gelu_backward(grad * hidden, gate))
        return input_grad


def frozen_autograd(
    targets: Iterable[tuple[str, nn.Module]], blocks: Iterable[nn.Module]
) -> AbstractContextManager[None]:
    """While inside, frozen convolutions among the targets and GEGLU in the blocks keep less.

    Works on instances, so that the host's classes, its hooks and its own patches stay as they are.
    """
    return patched(_frozen_patches(targets, blocks))


def _frozen_patches(
    targets: Iterable[tuple[str, nn.Module]], blocks: Iterable[nn.Module]
) -> Iterator[tuple[nn.Module, str, Callable[..., Tensor]]]:
    for _, module in targets:
        if (
            isinstance(module, nn.Conv2d)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
            and "_conv_forward" not in vars(module)  # another's patch stays
        ):
            yield module, "_conv_forward", _conv_forward(module)
    for block in blocks:
        for module in block.modules():
            if (
                type(module).__name__ == "GEGLU"  # ldm's and diffusers' classes bear this name
                and isinstance(getattr(module, "proj", None), nn.Linear)
                and "forward" not in vars(module)
            ):
                yield module, "forward", _geglu_forward(module)


def _conv_forward(module: nn.Conv2d) -> Callable[..., Tensor]:
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        options: Any = (module.stride, module.padding, module.dilation, module.groups)
        if weight.requires_grad or not (torch.is_grad_enabled() and x.requires_grad):
            return F.conv2d(x, weight, bias, *options)
        apply: Any = FrozenConv.apply  # PyTorch leaves it without types
        output: Tensor = apply(x, weight, bias, *options)
        return output

    return forward


def _geglu_forward(module: nn.Module) -> Callable[..., Tensor]:
    def forward(hidden: Tensor, *unused: Any, **more: Any) -> Tensor:
        apply: Any = Geglu.apply  # PyTorch leaves it without types
        output: Tensor = apply(module.proj(hidden))  # type: ignore[operator]
        return output

    return forward


class RecastLinear(torch.autograd.Function):
    """A frozen Linear under autocast to a dtype other than its weight's.

    PyTorch keeps the weight as it was cast, for all layers at once: half a gigabyte for Stable
    Diffusion 1, four for XL.  Here the weight itself is kept, and cast again on the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x Wᵀ + b.

        x: (…, in).
        weight: (out, in).
        bias: (out,).
        """
        ctx.save_for_backward(weight)
        ctx.dtype = x.dtype
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """The gradient of x."""
        [weight] = ctx.saved_tensors
        [grad] = grads
        return F.linear(grad, weight.to(grad.dtype).t()).to(ctx.dtype), None, None


def recast_linears(
    targets: Iterable[tuple[str, nn.Module]], dtype: torch.dtype
) -> AbstractContextManager[None]:
    """While inside, frozen Linears whose weights are not of the pass's dtype keep no cast copy.

    dtype: what autocast computes in; nothing is patched for fp32.
    """
    return patched(
        (module, "forward", _recast_forward(module, module.forward))
        for _, module in (targets if dtype != torch.float32 else ())
        if type(module) is nn.Linear
        and module.weight.dtype != dtype
        and not module.weight.requires_grad
        and "forward" not in vars(module)  # another's patch stays
    )


def _recast_forward(
    module: nn.Linear, plain: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad and autocast_enabled(x.device.type)):
            return plain(x)
        apply: Any = RecastLinear.apply  # PyTorch leaves it without types
        output: Tensor = apply(x, module.weight, module.bias)
        return output

    return forward
