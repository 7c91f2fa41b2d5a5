"""A rank that depends on the sample's timestep, against LoRAs that were cut to that rank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.errors import SettingsError
from lib_singlelora.lora import network as networks
from lib_singlelora.lora.active_ranks import RankSchedule
from lib_singlelora.lora.branches import LoraBranch, LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.ops.checkpointing import checkpointed
from lib_singlelora.settings.schema import Settings

NAMES = {
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k": lambda: nn.Linear(12, 16),
    "input_blocks.1.0.emb_layers.1": lambda: nn.Linear(12, 16),
    "input_blocks.1.1.proj_in": lambda: nn.Conv2d(12, 16, 1),
    "input_blocks.1.0.in_layers.2": lambda: nn.Conv2d(12, 16, 3, padding=1),
}
TIMESTEPS = torch.tensor([0, 430, 999])
SCHEDULE = RankSchedule(0.25, 1.5)


@contextmanager
def beside(
    name: str, **shape: float
) -> Iterator[tuple[nn.Module, LoraNetwork, LoraBranch, Tensor]]:
    """A frozen module, a network as after a training, its branch, and an input of three samples."""
    torch.manual_seed(1)
    module = NAMES[name]().requires_grad_(False)
    made = LoraNetwork(
        [(name, module)], SD1, LoraShape(8, 4, conv_rank=6, ranks=SCHEDULE, **shape), {}, False, 1
    )
    [(_, branch)] = made.items()
    assert isinstance(branch, LoraBranch)
    branch.up.data.normal_()
    one = (3, 12) if "emb" in name else (3, 5, 12)
    x = torch.randn((3, 12, 6, 6) if isinstance(module, nn.Conv2d) else one)
    with attached(made, [(name, module)]):
        yield module, made, branch, x


def cut(module: nn.Module, branch: LoraBranch, x: Tensor, rank: int) -> Tensor:
    """The frozen module plus the first ranks of its branch."""
    down, up = branch.down[:rank], branch.up[:, :rank]
    merged = torch.einsum("or,r...->o...", up.flatten(1), down) * branch.alpha / branch.rank
    weight = module.weight + merged
    if isinstance(module, nn.Conv2d):
        return nn.functional.conv2d(x, weight, module.bias, padding=module.padding)
    return nn.functional.linear(x, weight, module.bias)


@pytest.mark.parametrize(("least", "power"), [(0.5, 1.0), (0.0, 2.0), (1.0, 1.0), (0.26, 0.5)])
@pytest.mark.parametrize("rank", [1, 6, 16, 32])
def test_the_rank_falls_with_the_timestep(least: float, power: float, rank: int) -> None:
    schedule = RankSchedule(least, power)
    fewest = max(1, round(least * rank))
    counts = schedule.counts(rank)
    assert counts[0] == rank and fewest <= counts[-1] <= fewest + 1
    assert counts == sorted(counts, reverse=True)
    for t in (1, 250, 500, 730, 998):
        assert counts[t] == int((1 - t / 1000) ** power * (rank - fewest) + 1e-9) + fewest
    masks = schedule.masks(rank)
    assert masks.sum(1).tolist() == counts
    assert bool((masks[:, :-1] >= masks[:, 1:]).all())  # the first ranks, whichever their number


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_each_sample_meets_the_ranks_of_its_timestep(
    name: str, fuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients; tolerance 1e-5."""
    if not fuse:
        monkeypatch.setattr(networks, "fusible", lambda module, branch: False)
    with beside(name) as (module, made, branch, x):
        counts = [SCHEDULE.counts(branch.rank)[t] for t in TIMESTEPS]
        assert counts[0] == branch.rank > counts[1] > counts[2] > 1
        x.requires_grad_()
        with made.at(TIMESTEPS):
            out = module(x)
        rows = [cut(module, branch, x[i : i + 1], rank) for i, rank in enumerate(counts)]
        expected = torch.cat(rows)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
        inputs = (x, branch.down, branch.up)
        pairs = zip(
            torch.autograd.grad(out.square().sum(), inputs),
            torch.autograd.grad(expected.square().sum(), inputs),
            strict=True,
        )
        for got, wanted in pairs:
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_between_passes_and_in_evaluation_all_ranks_act(name: str) -> None:
    with beside(name) as (module, made, branch, x):
        whole = cut(module, branch, x, branch.rank)
        torch.testing.assert_close(module(x), whole, rtol=1e-5, atol=1e-5)
        made.eval()
        with made.at(TIMESTEPS):
            torch.testing.assert_close(module(x), whole, rtol=1e-5, atol=1e-5)


def test_dropouts_stay_and_come_on_top() -> None:
    [name, *_] = NAMES
    with beside(name, rank_dropout=0.5) as (module, made, branch, x):
        last = SCHEDULE.counts(branch.rank)[999]
        branch.up.data[:, :last] = 0  # what acts at the last timestep, gives nothing
        with made.at(TIMESTEPS):
            out = module(x)
        plain = nn.functional.linear(x, module.weight, module.bias)
        assert torch.equal(out[2], plain[2]) and not torch.equal(out[0], plain[0])


def test_a_block_computed_again_meets_the_ranks_of_its_own_pass() -> None:
    """Two passes of different batches before one backward pass, with gradient checkpointing."""
    [name, *_] = NAMES
    gradients = []
    for checkpointing in (False, True):
        with beside(name) as (module, made, branch, x):
            block = nn.Sequential(nn.GELU(), module, nn.GELU())
            with checkpointed([block] if checkpointing else [], made.again):
                with made.at(TIMESTEPS):
                    loss = block(x).square().sum()
                with made.at(TIMESTEPS[1:]):
                    loss = loss + block(x[1:]).pow(3).sum()
                loss.backward()
            gradients.append((branch.down.grad, branch.up.grad))
    for plain, again in zip(*gradients, strict=True):
        assert plain is not None and torch.equal(plain, again)


@pytest.mark.parametrize("algorithm", ["LoHa", "LoKr", "DoRA"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    values = {"training.timestep_rank": True, "training.algorithm": algorithm}
    with pytest.raises(SettingsError, match=f"found training.algorithm={algorithm}"):
        Settings.from_dict(values)
    Settings.from_dict({**values, "training.algorithm": "LoCon"})
