"""Convolutions with fewer products give a plain one's values and gradients, and keep no picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_singlelora.ops import upsample_conv, winograd
from lib_singlelora.ops.upsample_conv import upsample_convs
from lib_singlelora.ops.winograd import winograd_convs

TOLERANCE = 2e-5  # absolute, for outputs of a standard deviation of 1


def random_case(
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


class Upsampler(nn.Module):
    """As ldm's, which is recognized by the name of its class."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        size = output_size or (2 * x.shape[-2], 2 * x.shape[-1])
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


Upsampler.__name__ = "Upsample"


def exact(x: Tensor, conv: nn.Conv2d, upsampled: bool = False) -> tuple[Tensor, Tensor]:
    """In float64: the output, and the gradient of x for half the sum of the output's squares."""
    x = x.double().requires_grad_()
    picture = F.interpolate(x, scale_factor=2.0, mode="nearest") if upsampled else x
    out = F.conv2d(
        picture, conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1
    )
    out.backward(out.detach())
    assert x.grad is not None
    return out.detach(), x.grad


def run_and_record(
    call: Callable[[Tensor], Tensor], x: Tensor, weight: Tensor
) -> tuple[list[Tensor], Tensor, Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() != weight.untyped_storage().data_ptr():
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = call(x)
    out.backward(out.detach())
    assert x.grad is not None
    return kept, out.detach(), x.grad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("part", "band"),
    [(winograd.MAX_WEIGHT_PART, winograd.MAX_PICTURE_PART), (36 * 128 * 50, 36 * 128 * 20)],
)
def test_values_and_gradients_are_those_of_a_plain_convolution(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format, part: int, band: int
) -> None:
    monkeypatch.setattr(winograd, "MAX_WEIGHT_PART", part)
    monkeypatch.setattr(winograd, "MAX_PICTURE_PART", band)
    x, conv = random_case()
    conv = conv.to(memory_format=layout)
    expected, expected_grad = exact(x, conv)
    with winograd_convs([conv]):
        kept, out, grad = run_and_record(conv, x.to(memory_format=layout), conv.weight)
        with torch.no_grad():
            assert torch.equal(conv(x.to(memory_format=layout)), out)
    assert kept == []
    assert (out - expected).abs().max() < TOLERANCE
    assert (grad - expected_grad).abs().max() < TOLERANCE
    # Its last bits show that the other algorithm ran
    assert not torch.equal(out, F.conv2d(x, conv.weight, conv.bias, padding=1))
    assert "_conv_forward" not in vars(conv)


def test_no_bias_and_no_gradient() -> None:
    x, conv = random_case(batch=1)
    conv.bias = None
    with winograd_convs([conv]):
        assert (conv(x) - exact(x, conv)[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    "change", ["small", "odd", "few channels", "stride", "groups", "trained", "float64", "autocast"]
)
def test_a_convolution_that_does_not_pay_is_computed_as_before(change: str) -> None:
    x, conv = random_case(batch=1)
    if change == "small":
        x = x[:, :, :16, :16].contiguous(memory_format=torch.channels_last)
    elif change == "odd":
        x = x[:, :, :23].contiguous(memory_format=torch.channels_last)
    elif change == "few channels":
        x, conv = random_case(channels=64, batch=1)
    elif change == "stride":
        conv.stride = (2, 2)
    elif change == "groups":
        conv = nn.Conv2d(128, 128, 3, padding=1, groups=2).requires_grad_(False)
    elif change == "trained":
        conv.requires_grad_(True)
    elif change == "float64":
        x = x.double()
        conv = conv.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        expected = conv(x)
        with winograd_convs([conv]):
            assert torch.equal(conv(x), expected)


def test_an_earlier_patch_computes_the_rest_and_is_restored() -> None:
    x, conv = random_case(batch=1)
    calls: list[Tensor] = []

    def earlier(*inputs: Tensor) -> Tensor:
        calls.append(inputs[0])
        return F.conv2d(*inputs, padding=1)

    vars(conv)["_conv_forward"] = earlier
    with winograd_convs([conv]):
        conv(x)
        assert calls == []
        conv(x[:, :, :8])
        assert len(calls) == 1
    assert vars(conv)["_conv_forward"] is earlier


def test_upsampling_gives_the_same_values_and_gradients() -> None:
    x, conv = random_case(height=16, width=24)
    module = Upsampler(conv)
    expected, expected_grad = exact(x, conv, upsampled=True)
    with upsample_convs([module]):
        kept, out, grad = run_and_record(module, x, conv.weight)
        with torch.no_grad():
            assert torch.equal(module(x), out)
    assert kept == []
    assert (out - expected).abs().max() < TOLERANCE
    assert (grad - expected_grad).abs().max() < TOLERANCE
    assert not torch.equal(out, module(x))
    assert "forward" not in vars(module)


@pytest.mark.parametrize("change", ["hook", "before", "patched", "size", "small", "trained"])
def test_upsampling_calls_whatever_hangs_on_the_convolution(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A LoCon is a hook on the convolution, which the fused operation would not call."""
    monkeypatch.setattr(upsample_conv, "MIN_PIXELS", 200)
    x, conv = random_case(batch=1, height=16, width=16)
    module = Upsampler(conv)
    size = None
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
    expected = module(x, size)
    with upsample_convs([module]):
        assert torch.equal(module(x, size), expected)
