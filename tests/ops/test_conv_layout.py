"""Convolutions channels last for a while: values stay, and each lies again as it did."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.ops.conv_layout import channels_last_convs, plainly_laid
from lib_singlelora.ops.frozen_autograd import frozen_autograd

LAST = torch.channels_last
Layout = tuple[int, ...]


def convs() -> nn.Sequential:
    """Two convolutions over several pixels with one over one pixel between them, frozen."""
    torch.manual_seed(1)
    layers = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 3, padding=1)
    return nn.Sequential(*layers).requires_grad_(False)


def layouts(network: nn.Module) -> list[Layout]:
    return [parameter.stride() for parameter in network.parameters()]


def last(weight: Tensor) -> bool:
    return weight.is_contiguous(memory_format=LAST) and not weight.is_contiguous()


def test_the_same_parameters_lie_channels_last_with_the_same_values() -> None:
    network = convs()
    before = layouts(network)
    parameters = list(network.parameters())
    values = [parameter.clone() for parameter in parameters]
    with channels_last_convs(network.modules()):
        assert [last(network[place].weight) for place in (0, 1, 2)] == [True, False, True]
        assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), values, strict=True))
    assert layouts(network) == before
    assert all(torch.equal(a, b) for a, b in zip(parameters, values, strict=True))


def test_what_lay_channels_last_or_in_a_way_of_its_own_stays_so_also_after_an_error() -> None:
    """The WebUI's --opt-channelslast lays the whole checkpoint so."""
    network = convs()
    network[0].weight.data = network[0].weight.data.contiguous(memory_format=LAST)
    network[2].weight.data = network[2].weight.data.transpose(2, 3)
    before = layouts(network)
    addresses = [parameter.data_ptr() for parameter in network.parameters()]
    network.append(nn.Conv2d(4, 4, 3))
    plain = network[3].weight.stride()
    with pytest.raises(ZeroDivisionError), channels_last_convs(network.modules()):
        assert last(network[3].weight)
        assert [p.data_ptr() for p in network.parameters()][: len(addresses)] == addresses
        raise ZeroDivisionError
    assert layouts(network)[: len(before)] == before and network[3].weight.stride() == plain


def test_a_weight_of_two_convolutions_is_laid_once_and_stays_one() -> None:
    network = convs()
    network.append(nn.Conv2d(4, 8, 3))
    network[3].weight = network[0].weight
    with channels_last_convs(network.modules()):
        assert network[3].weight is network[0].weight and last(network[0].weight)
    assert network[3].weight is network[0].weight and network[0].weight.is_contiguous()


def test_a_weight_that_was_cast_meanwhile_lies_as_it_did() -> None:
    """As one that was moved: `to` keeps the layout that it finds."""
    network = convs()
    with channels_last_convs(network.modules()):
        network.half()
        assert last(network[0].weight)
    assert network[0].weight.is_contiguous() and network[0].weight.dtype == torch.float16


class Quantized(nn.Parameter):
    """A program's own kind of weight."""


def test_quantized_inference_and_other_tensors_are_left_alone() -> None:
    network = convs()
    network[0].weight = Quantized(network[0].weight.data, requires_grad=False)
    network.append(nn.Linear(4, 4))
    network.append(nn.Conv2d(4, 4, 3).double())
    with torch.inference_mode():
        network.append(nn.Conv2d(4, 4, 3))
    network.append(nn.Conv1d(4, 4, 3))
    assert [id(each) for each in plainly_laid(network.modules())] == [id(network[2].weight)]


def test_without_room_for_one_weight_more_it_goes_through_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = convs()
    values = [parameter.clone() for parameter in network.parameters()]
    before = layouts(network)
    contiguous = Tensor.contiguous
    calls: list[int] = []

    def full(self: Tensor, *rest: object, **named: object) -> Tensor:
        calls.append(1)
        if len(calls) in (1, 5):  # once on the way in and once on the way out
            raise RuntimeError("out of memory")
        return contiguous(self, *rest, **named)

    with channels_last_convs(network.modules()):
        pass
    monkeypatch.setattr(Tensor, "contiguous", full)
    with channels_last_convs(network.modules()):
        assert last(network[0].weight) and last(network[2].weight)
    assert len(calls) == 6 and layouts(network) == before
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), values, strict=True))


def test_an_error_while_they_are_laid_gives_back_those_that_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = convs()
    before = layouts(network)
    contiguous = Tensor.contiguous

    def broken(self: Tensor, *rest: object, memory_format: object = None) -> Tensor:
        if memory_format is LAST and self.shape[0] == 4:
            raise RuntimeError("a GPU that is gone")
        return contiguous(self, memory_format=memory_format or torch.contiguous_format)

    monkeypatch.setattr(Tensor, "contiguous", broken)
    with pytest.raises(RuntimeError, match="gone"), channels_last_convs(network.modules()):
        raise AssertionError("not reached")
    assert layouts(network) == before


@pytest.mark.parametrize("frozen", [False, True])
def test_hooks_and_patches_see_the_same_pass(frozen: bool) -> None:
    """Tolerance 1e-5: a product of another layout is summed in another order."""
    network = convs()
    seen: list[int] = []
    network[0].register_forward_hook(lambda *_: seen.append(1))
    targets = [(str(place), module) for place, module in enumerate(network)]
    x = torch.randn(2, 4, 8, 8, requires_grad=True)

    def passed() -> tuple[Tensor, Tensor]:
        output = network(x)
        return output.detach(), torch.autograd.grad(output.square().mean(), x)[0]

    with frozen_autograd(targets if frozen else [], []):
        plain = passed()
        with channels_last_convs(network.modules()):
            other = passed()
    assert len(seen) == 2
    for one, two in zip(plain, other, strict=True):
        assert torch.allclose(one, two, atol=1e-5)
