"""Frozen layers that keep less give the values and gradients of PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_singlelora.ops.frozen_autograd import frozen_autograd, recast_linears


class GEGLU(nn.Module):
    """As ldm and diffusers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(12, 24)

    def forward(self, x: Tensor) -> Tensor:
        hidden, gate = self.proj(x).chunk(2, dim=-1)
        return hidden * F.gelu(gate)


class Block(nn.Module):
    """Convolutions as a U-Net has them, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(6, 12, 3, padding=1)
        self.down = nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=2)
        self.point = nn.Conv2d(12, 12, 1, bias=False)
        self.gate = GEGLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.point(F.silu(self.down(F.silu(self.wide(x)))))
        return self.gate(inner.flatten(2).transpose(1, 2))


def answers(block: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Output, gradient of x, bytes kept for the backward pass."""
    x = x.detach().clone().requires_grad_()
    kept = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    weights = {parameter.untyped_storage().data_ptr() for parameter in block.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = block(x)
    held = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in weights)
    out.square().sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad, held


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_equal_bit_for_bit_and_less_is_kept(
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    block = Block().requires_grad_(False).to(memory_format=layout)
    x = torch.randn(2, 6, 16, 16).to(memory_format=layout)
    plain = answers(block, x)
    before = copy.deepcopy({name: set(vars(module)) for name, module in block.named_modules()})
    with frozen_autograd(((name, module) for name, module in block.named_modules()), [block]):
        frugal = answers(block, x)
        with torch.no_grad():
            assert torch.equal(block(x), plain[0])
    assert torch.equal(frugal[0], plain[0]) and torch.equal(frugal[1], plain[1])
    assert frugal[2] < 0.75 * plain[2]
    assert {name: set(vars(module)) for name, module in block.named_modules()} == before


def test_a_weight_that_trains_gets_its_gradient() -> None:
    conv = nn.Conv2d(3, 4, 3)
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    with frozen_autograd([("conv", conv)], []):
        conv(x).sum().backward()
    assert conv.weight.grad is not None and x.grad is not None


def test_half_precision_under_autocast() -> None:
    torch.manual_seed(1)
    block = Block().requires_grad_(False)
    x = torch.randn(1, 6, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = answers(block, x)
        with frozen_autograd(block.named_modules(), [block]):
            frugal = answers(block, x)
    assert torch.equal(frugal[0], plain[0]) and torch.allclose(
        frugal[1], plain[1], rtol=0.02, atol=0.02
    )
    assert frugal[1].dtype == torch.float32


def test_a_linear_under_autocast_keeps_no_cast_copy_of_its_weight() -> None:
    """fp16 weights and a bf16 pass, as in a WebUI on Ampere; the gradient within bf16's 8 bits."""
    torch.manual_seed(1)
    linear = nn.Linear(64, 96).half().requires_grad_(False)
    x = torch.randn(4, 64, requires_grad=True)
    answers = []
    kept = []
    for targets in ([], [("linear", linear)]):
        dtypes: list[torch.dtype] = []
        with (
            recast_linears(targets, torch.bfloat16),
            torch.autograd.graph.saved_tensors_hooks(
                lambda t, dtypes=dtypes: dtypes.append(t.dtype) or t, lambda t: t
            ),
            torch.autocast("cpu", dtype=torch.bfloat16),
        ):
            out = linear(x)
        x.grad = None
        out.float().square().sum().backward()
        assert x.grad is not None
        answers.append((out.detach(), x.grad))
        kept.append(torch.bfloat16 in dtypes)
    assert torch.equal(answers[0][0], answers[1][0]) and "forward" not in vars(linear)
    assert torch.allclose(answers[0][1], answers[1][1], rtol=0.02, atol=0.02)
    assert kept == [True, False]
