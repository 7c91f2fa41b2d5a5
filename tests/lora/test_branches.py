"""Each algorithm: what trains is what the file says, and an untrained branch changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.lora.branches import LoraBranch, LoraShape, new_branch
from lib_singlelora.lora.files import read_lora, write_lora
from lib_singlelora.lora.functional import dora_delta, module_delta
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.blocks import SD1

ALGORITHMS = ("LoRA", "LoCon", "LoHa", "LoKr", "DoRA")
NAMES = {
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q": lambda: nn.Linear(12, 16),
    "input_blocks.1.1.proj_in": lambda: nn.Conv2d(12, 16, 1),
    "input_blocks.1.0.in_layers.2": lambda: nn.Conv2d(12, 16, 3, padding=1),
    "input_blocks.3.0.op": lambda: nn.Conv2d(12, 12, 3, 2, 1),
}


def needs(algorithm: str) -> None:
    if algorithm not in ("LoRA", "LoCon"):
        pytest.importorskip("lycoris")


def modules() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: make().requires_grad_(False) for name, make in NAMES.items()}


def network(
    algorithm: str, targets: dict[str, nn.Module], seed: int = 1, **more: float
) -> LoraNetwork:
    shape = LoraShape(3, 2.0, conv_rank=2, algorithm=algorithm, **more)
    return LoraNetwork(targets.items(), SD1, shape, {}, True, seed)


def shake(made: LoraNetwork) -> None:
    """Weights as after a training: none is where it started."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def example(name: str) -> Tensor:
    torch.manual_seed(4)
    return (
        torch.randn(2, 12, 6, 6) if isinstance(NAMES[name](), nn.Conv2d) else torch.randn(2, 5, 12)
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_untrained_branch_changes_nothing(algorithm: str) -> None:
    needs(algorithm)
    targets = modules()
    made = network(algorithm, targets)
    for name, module in targets.items():
        before = module(example(name))
        with attached(made, targets.items()):
            # DoRA normalises W by its own norm, which rounds; the others add a plain zero.
            assert torch.allclose(
                module(example(name)), before, atol=1e-6 if algorithm == "DoRA" else 0, rtol=0
            )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_forward_pass_equals_the_weights_merged_from_the_file(
    algorithm: str, tmp_path: Path
) -> None:
    needs(algorithm)
    targets = modules()
    made = network(algorithm, targets)
    shake(made)
    path = tmp_path / "made.safetensors"
    write_lora(path, made.kohya_tensors(), {}, "fp32")
    parts = {name: dict(tensors) for name, tensors in read_lora(path).modules.items()}
    assert parts.keys() == targets.keys()
    for name, module in targets.items():
        x = example(name)
        with attached(made, targets.items()):
            trained = module(x)
        weight = module.weight
        assert isinstance(weight, Tensor)
        magnitude = parts[name].pop("dora_scale", None)
        delta = module_delta(parts[name], tuple(weight.shape))
        if magnitude is not None:
            delta = dora_delta(weight, delta, magnitude)
        assert float(delta.abs().max()) > 1e-3
        module.weight = nn.Parameter(weight + delta, requires_grad=False)
        assert torch.allclose(module(x), trained, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_gradients_reach_every_parameter(algorithm: str) -> None:
    needs(algorithm)
    targets = modules()
    made = network(algorithm, targets)
    shake(made)
    for name, module in targets.items():
        with attached(made, targets.items()):
            module(example(name)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in made.parameters())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_makes_the_same_network_and_leaves_the_global_one_alone(
    algorithm: str,
) -> None:
    needs(algorithm)
    torch.manual_seed(7)
    first = network(algorithm, modules()).state_dict()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(0)
    targets = modules()
    torch.manual_seed(7)
    second = network(algorithm, targets).state_dict()
    assert torch.equal(torch.rand(3), expected)
    assert first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_squared_norm_and_its_gradient_are_those_of_the_whole_change(algorithm: str) -> None:
    needs(algorithm)
    made = network(algorithm, modules())
    shake(made)
    parameters = list(made.parameters())
    squares = made.delta_square()
    whole = torch.stack([branch.weight_delta().square().sum() for _, branch in made.items()]).sum()
    assert float(squares.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)
    for found, expected in zip(
        torch.autograd.grad(squares, parameters),
        torch.autograd.grad(whole, parameters),
        strict=True,
    ):
        scale = float(expected.abs().max())
        assert scale > 0 and torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)


def test_changes_within_the_limit_stay_as_they_are() -> None:
    made = network("LoCon", modules())
    shake(made)
    norms = sorted(float(branch.weight_delta().detach().norm()) for _, branch in made.items())
    before = {key: value.clone() for key, value in made.state_dict().items()}
    assert made.limit_norms(norms[-1] * 1.01) == 0
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    assert made.limit_norms((norms[-1] + norms[-2]) / 2) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_long_changes_are_shortened_to_the_limit(algorithm: str) -> None:
    needs(algorithm)
    if algorithm == "DoRA":
        pytest.skip("its change is bounded by its magnitude, not by up and down")
    made = network(algorithm, modules())
    shake(made)
    longest = min(float(branch.weight_delta().detach().norm()) for _, branch in made.items()) / 2
    assert made.limit_norms(longest) == len(NAMES)
    for _, branch in made.items():
        assert float(branch.weight_delta().detach().norm()) == pytest.approx(longest, rel=1e-4)


@pytest.mark.parametrize("algorithm", ["LoHa", "LoKr", "DoRA"])
@pytest.mark.parametrize(
    "name", ["input_blocks.1.1.transformer_blocks.0.attn1.to_q", "input_blocks.1.0.in_layers.2"]
)
def test_rank_dropout_leaves_out_what_lycoris_leaves_out(algorithm: str, name: str) -> None:
    """The same rows for the same seed, none enlarged for them; DoRA's magnitude sees what is left.

    Tolerance 1e-5.
    """
    needs(algorithm)
    targets = modules()
    made = network(algorithm, targets, rank_dropout=0.5)
    shake(made)
    branch = dict(made.items())[name]
    made.train()
    branch.inner.rank_dropout = 0.5
    branch.inner.train()
    x = example(name)
    module = targets[name]
    with torch.no_grad():
        torch.manual_seed(7)
        found = module(x) + branch(x)
        torch.manual_seed(7)
        expected = branch.inner(x)
        assert not torch.allclose(expected, module(x), atol=1e-3)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["dropout", "rank_dropout", "module_dropout"])
def test_dropout_acts_while_it_trains_only_and_keeps_the_mean(kind: str) -> None:
    module = nn.Linear(12, 16)
    branch = new_branch(module, LoraShape(6, 6.0, **{kind: 0.5}), torch.Generator().manual_seed(1))
    assert isinstance(branch, LoraBranch)
    with torch.no_grad():
        branch.up.add_(0.3)
    x = torch.randn(1, 12)
    torch.manual_seed(2)
    if kind == "module_dropout":
        dropped = sum(branch.is_dropped() for _ in range(2000)) / 2000
        assert dropped == pytest.approx(0.5, abs=0.05) and not branch.eval().is_dropped()
        return
    drawn = torch.stack([branch(x) for _ in range(4000)])
    assert float(drawn.std(0).max()) > 0.01
    plain = branch.eval()(x)
    assert torch.equal(plain, branch(x))
    assert torch.allclose(drawn.mean(0), plain, atol=float(plain.abs().max()) * 0.1 + 0.02)


def test_cut_text_gradient_comes_from_the_trained_blocks_only() -> None:
    key_in, key_out = (
        f"{block}.1.transformer_blocks.0.attn2.to_k"
        for block in ("input_blocks.1", "output_blocks.3")
    )
    targets: dict[str, nn.Module] = {key_in: nn.Linear(4, 4), key_out: nn.Linear(4, 4)}
    made = LoraNetwork(targets.items(), SD1, LoraShape(2, 2.0), {"IN01": 0.0}, True, 1)
    for cut, expected in ((False, True), (True, False)):
        context = torch.randn(1, 4, requires_grad=True)
        for module in targets.values():
            module.requires_grad_(False)
        with attached(made, targets.items(), cut_text=cut):
            assert targets[key_in](context).requires_grad is expected
            assert targets[key_out](context).requires_grad
    assert targets[key_in](torch.randn(1, 4, requires_grad=True)).requires_grad


class OwnLinear(nn.Module):
    """A Linear of a class of its own, as Forge has one."""

    def __init__(self, like: nn.Linear) -> None:
        super().__init__()
        self.weight = like.weight
        self.bias = like.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_linear_of_another_class_gets_the_branch_of_pytorchs(algorithm: str) -> None:
    needs(algorithm)
    plain = nn.Linear(6, 4)
    shape = LoraShape(2, 2.0, algorithm=algorithm)
    branches = [
        new_branch(module, shape, torch.Generator().manual_seed(1))
        for module in (plain, OwnLinear(plain))
    ]
    first, second = (branch.tensors() for branch in branches)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    x = torch.linspace(-1, 1, 6)
    assert torch.equal(branches[0](x), branches[1](x))
