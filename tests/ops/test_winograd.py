"""Convolutions with fewer multiplications answer what plain ones answer, forward and back, and keep
no picture.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_singlelora.ops import upsample_conv as enlarging_module
from lib_singlelora.ops import winograd
from lib_singlelora.ops.upsample_conv import upsample_convs
from lib_singlelora.ops.winograd import winograd_convs

CLOSE = 2e-5  # at most, of an output that spreads by 1


def given(
    channels: int = 128, out: int = 160, height: int = 24, width: int = 32, batch: int = 2
) -> tuple[Tensor, nn.Conv2d]:
    torch.manual_seed(3)
    conv = (
        nn.Conv2d(channels, out, 3, padding=1)
        .requires_grad_(False)
        .to(memory_format=torch.channels_last)
    )
    conv.weight.normal_().div_((9 * channels) ** 0.5)
    return torch.randn(batch, channels, height, width).to(memory_format=torch.channels_last), conv


class Enlarger(nn.Module):
    """As ldm has it; the name is what it is known by."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        size = output_size or (2 * x.shape[-2], 2 * x.shape[-1])
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


Enlarger.__name__ = "Upsample"


def exact(x: Tensor, conv: nn.Conv2d, twice: bool = False) -> tuple[Tensor, Tensor]:
    """In float64: the output, and the gradient of x for half of the output's squares."""
    own = x.double().requires_grad_()
    big = F.interpolate(own, scale_factor=2.0, mode="nearest") if twice else own
    out = F.conv2d(
        big, conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1
    )
    out.backward(out.detach())
    assert own.grad is not None
    return out.detach(), own.grad


def kept_and_answered(
    call: Callable[[Tensor], Tensor], x: Tensor, weight: Tensor
) -> tuple[list[Tensor], Tensor, Tensor]:
    own = x.clone(memory_format=torch.preserve_format).requires_grad_()
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() != weight.untyped_storage().data_ptr():
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = call(own)
    out.backward(out.detach())
    assert own.grad is not None
    return kept, out.detach(), own.grad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("part", "band"), [(winograd.PART, winograd.BAND), (36 * 128 * 50, 36 * 128 * 20)]
)
def test_values_and_gradients_are_the_plain_convolution_s(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format, part: int, band: int
) -> None:
    monkeypatch.setattr(winograd, "PART", part)
    monkeypatch.setattr(winograd, "BAND", band)
    x, conv = given()
    conv = conv.to(memory_format=layout)
    wanted, wanted_grad = exact(x, conv)
    with winograd_convs([conv]):
        kept, out, grad = kept_and_answered(conv, x.to(memory_format=layout), conv.weight)
        with torch.no_grad():
            assert torch.equal(conv(x.to(memory_format=layout)), out)
    assert kept == []
    assert (out - wanted).abs().max() < CLOSE
    assert (grad - wanted_grad).abs().max() < CLOSE
    # It was really computed otherwise
    assert not torch.equal(out, F.conv2d(x, conv.weight, conv.bias, padding=1))
    assert "_conv_forward" not in vars(conv)


def test_no_bias_and_no_gradient() -> None:
    x, conv = given(batch=1)
    conv.bias = None
    with winograd_convs([conv]):
        assert (conv(x) - exact(x, conv)[0]).abs().max() < CLOSE


@pytest.mark.parametrize(
    "change", ["small", "odd", "few channels", "stride", "groups", "trained", "float64", "autocast"]
)
def test_what_does_not_gain_is_computed_as_it_was(change: str) -> None:
    x, conv = given(batch=1)
    if change == "small":
        x = x[:, :, :16, :16].contiguous(memory_format=torch.channels_last)
    elif change == "odd":
        x = x[:, :, :23].contiguous(memory_format=torch.channels_last)
    elif change == "few channels":
        x, conv = given(channels=64, batch=1)
    elif change == "stride":
        conv.stride = (2, 2)
    elif change == "groups":
        conv = nn.Conv2d(128, 128, 3, padding=1, groups=2).requires_grad_(False)
    elif change == "trained":
        conv.requires_grad_(True)
    elif change == "float64":
        x, conv = x.double(), conv.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        wanted = conv(x)
        with winograd_convs([conv]):
            assert torch.equal(conv(x), wanted)


def test_an_earlier_forward_is_there_again_and_takes_what_does_not_gain() -> None:
    x, conv = given(batch=1)
    asked: list[Tensor] = []

    def before(*inputs: Tensor) -> Tensor:
        asked.append(inputs[0])
        return F.conv2d(*inputs, padding=1)

    vars(conv)["_conv_forward"] = before
    with winograd_convs([conv]):
        conv(x)
        assert asked == []
        conv(x[:, :, :8])
        assert len(asked) == 1
    assert vars(conv)["_conv_forward"] is before


def test_enlarging_answers_the_same_forward_and_back() -> None:
    x, conv = given(height=16, width=24)
    module = Enlarger(conv)
    wanted, wanted_grad = exact(x, conv, twice=True)
    with upsample_convs([module]):
        kept, out, grad = kept_and_answered(module, x, conv.weight)
        with torch.no_grad():
            assert torch.equal(module(x), out)
    assert kept == []
    assert (out - wanted).abs().max() < CLOSE
    assert (grad - wanted_grad).abs().max() < CLOSE
    assert not torch.equal(out, module(x))
    assert "forward" not in vars(module)


@pytest.mark.parametrize("change", ["hook", "before", "patched", "size", "small", "trained"])
def test_enlarging_leaves_out_nobody_who_takes_part(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A LoCon is a hook on the convolution: computed without calling it, the enlargement would lose
    it.
    """
    monkeypatch.setattr(enlarging_module, "PIXELS", 200)
    x, conv = given(batch=1, height=16, width=16)
    module, size = Enlarger(conv), None
    if change == "hook":
        conv.register_forward_hook(lambda module, inputs, output: output + inputs[0].mean())
    elif change == "before":
        conv.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    elif change == "patched":
        vars(conv)["forward"] = lambda x: F.conv2d(x, conv.weight)
    elif change == "size":
        size = (30, 32)
    elif change == "small":
        x = x[:, :, :8]
    elif change == "trained":
        conv.requires_grad_(True)
    wanted = module(x, size)
    with upsample_convs([module]):
        assert torch.equal(module(x, size), wanted)
