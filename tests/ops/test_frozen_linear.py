"""A frozen Linear and its LoRA in one operation give the values and gradients of two."""

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.lora import network as networks
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.fused import LinearWithLora
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.ops import onednn
from lib_singlelora.ops.frozen_linear import onednn_linears

NAME = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"


class Small(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(12, 20, bias=bias).requires_grad_(False)


def random_network(model: Small, **shape: float) -> LoraNetwork:
    network = LoraNetwork([(NAME, model.linear)], SD1, LoraShape(4, 2, **shape), {}, False, 1)
    for _, branch in network.items():
        branch.up.data.normal_(generator=torch.Generator().manual_seed(2))
    return network.train()


def run(model: Small, network: LoraNetwork, x: Tensor) -> list[Tensor]:
    """Output, and the gradients of x, down and up."""
    x = x.clone().requires_grad_()
    with attached(network, [(NAME, model.linear)]):
        out = model.linear(x)
    out.square().sum().backward()
    results = [out.detach(), x.grad, *(parameter.grad for parameter in network.parameters())]
    network.zero_grad()
    return results


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12)])
def test_values_and_gradients_are_those_of_one_after_the_other(
    bias: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Small(bias)
    network = random_network(model)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    fused = run(model, network, x)
    monkeypatch.setattr(networks, "fusible", lambda module, branch: False)
    for value, other in zip(fused, run(model, network, x), strict=True):
        assert torch.allclose(value, other, atol=1e-5), (value - other).abs().max()


def test_gradients_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(4)
    inputs = [
        torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_(needs_grad)
        for size, needs_grad in (
            ((2, 3, 6), True),
            ((5, 6), False),
            ((5,), False),
            ((2, 6), True),
            ((5, 2), True),
        )
    ]
    assert torch.autograd.gradcheck(LinearWithLora.apply, [*inputs, None, False])
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(LinearWithLora.apply, [*inputs, mask, False])


def test_plain_linears_are_fused_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Small()
    module = model.linear
    plain = random_network(model)
    with attached(plain, [(NAME, module)]):
        assert "forward" in vars(module) and not module._forward_hooks
    assert "forward" not in vars(module)
    with attached(random_network(model, dropout=0.1), [(NAME, module)]):
        assert "forward" not in vars(module) and module._forward_hooks
    x = torch.randn(3, 12)
    with attached(plain, [(NAME, module)]), plain.switched_off():
        assert torch.equal(module(x), nn.functional.linear(x, module.weight, module.bias))
    # The WebUI's Lora extension puts its own function into the class; what it does must still be
    # done.
    monkeypatch.setattr(
        nn.Linear, "forward", lambda self, x: nn.functional.linear(x, self.weight, self.bias) * 3
    )
    with attached(plain, [(NAME, module)]):
        assert "forward" not in vars(module) and module._forward_hooks


def test_autocast_goes_by_two_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Small()
    network = random_network(model)
    x = torch.randn(2, 12)
    with attached(network, [(NAME, model.linear)]), torch.autocast("cpu", torch.bfloat16):
        fused = model.linear(x)
    monkeypatch.setattr(networks, "fusible", lambda module, branch: False)
    with attached(network, [(NAME, model.linear)]), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused, model.linear(x))


needs_onednn = pytest.mark.skipif(
    not onednn.supports(torch.empty(1)), reason="this PyTorch has no oneDNN"
)


@pytest.fixture
def everything_by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones too."""
    monkeypatch.setattr(onednn, "MIN_MULTIPLICATIONS", 0)


@needs_onednn
def test_small_products_do_not_go_to_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []
    linear = onednn._LINEAR
    monkeypatch.setattr(
        onednn, "_LINEAR", lambda x, *more: shapes.append(x.shape) or linear(x, *more)
    )
    for rows in (10, 4000):
        x = torch.randn(rows, 40)
        weight = torch.randn(30, 40)
        assert torch.allclose(onednn.linear(x, weight), x @ weight.t(), atol=1e-4)
    assert shapes == [(4000, 40)]


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12)])
@pytest.mark.usefixtures("everything_by_onednn")
def test_onednn_differs_by_rounding_only(bias: bool, shape: tuple[int, ...]) -> None:
    model = Small(bias)
    network = random_network(model)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    plain = run(model, network, x)
    with onednn_linears([(NAME, model.linear)]):
        for value, other in zip(plain, run(model, network, x), strict=True):
            assert torch.allclose(value, other, atol=1e-5), (value - other).abs().max()
        actual = x.clone().requires_grad_()
        model.linear(actual).square().sum().backward()  # a frozen Linear without a LoRA
    expected = x.clone().requires_grad_()
    model.linear(expected).square().sum().backward()
    assert torch.allclose(actual.grad, expected.grad, atol=1e-5)


@needs_onednn
@pytest.mark.usefixtures("everything_by_onednn")
def test_with_onednn_an_untrained_lora_changes_no_bit() -> None:
    torch.manual_seed(5)
    model = Small()
    x = torch.randn(7, 12)
    network = random_network(model)
    for _, branch in network.items():
        torch.nn.init.zeros_(branch.up)
    with onednn_linears([(NAME, model.linear)]):
        alone = model.linear(x)
        with attached(network, [(NAME, model.linear)]):
            assert torch.equal(model.linear(x), alone)
            with network.switched_off():
                assert torch.equal(model.linear(x), alone)
        assert torch.equal(model.linear(x), alone)
    assert "forward" not in vars(model.linear)


@needs_onednn
def test_onednn_leaves_other_dtypes_trained_and_patched_linears_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Small()
    trained = nn.Linear(12, 3)
    half = Small().bfloat16()
    with onednn_linears([("half", half.linear), ("trained", trained)]):
        assert "forward" not in vars(half.linear) and "forward" not in vars(trained)
    x = torch.randn(2, 12)
    with onednn_linears([(NAME, model.linear)]), torch.autocast("cpu", torch.bfloat16):
        assert model.linear(x).dtype == torch.bfloat16
    monkeypatch.setattr(
        nn.Linear, "forward", lambda self, x: nn.functional.linear(x, self.weight, self.bias) * 3
    )
    with onednn_linears([(NAME, model.linear)]):  # as the WebUI's Lora extension does
        assert "forward" not in vars(model.linear)
