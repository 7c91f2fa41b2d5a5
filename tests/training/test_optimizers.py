"""Every optimizer with every schedule and algorithm takes steps, and stops and goes on exactly."""

from __future__ import annotations

import copy
import itertools
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from lib_singlelora.errors import SettingsError, TrainingError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.settings.optimizer_arguments import parse_arguments
from lib_singlelora.settings.optimizer_table import SOURCES
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.training.optimizers import FUSED_ON_CPU_SINCE, Optimizer, build_optimizer
from tests.training.test_trainer import settings, train

OPTIMIZERS = (
    "AdamW",
    "AdamW8bit",
    "Lion",
    "Prodigy",
    "DAdaptAdam",
    "Adafactor",
    "AdamWScheduleFree",
    "ProdigyPlusScheduleFree",
    "CAME",
    "Muon",
)
SCHEDULES = ("constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "rex")
ALGORITHMS = ("LoRA", "LoCon", "LoHa", "LoKr", "DoRA")
EVERY = list(itertools.product(OPTIMIZERS, SCHEDULES, ALGORITHMS))
# 24 of 300: all optimizers, all schedules, all algorithms; drawn once, so that every run tests the
# same.
SAMPLED = [
    combination
    for number, optimizer in enumerate(OPTIMIZERS)
    for combination in random.Random(optimizer).sample(
        [c for c in EVERY if c[0] == optimizer], 3 if number < 7 else 1
    )
]


def options(optimizer: str, **values: object) -> TrainingSettings:
    rate = 1.0 if SOURCES[optimizer].own_rate else 1e-3
    return settings(optimizer=optimizer, unet_lr=rate, text_encoder_lr=rate / 2, **values)


def needs(optimizer: str) -> None:
    if optimizer != "AdamW8bit":  # falls back to AdamW where there is no CUDA
        pytest.importorskip(SOURCES[optimizer].module)


def test_the_sample_holds_every_kind() -> None:
    assert {c[1] for c in SAMPLED} == set(SCHEDULES) and {c[2] for c in SAMPLED} == set(ALGORITHMS)


@pytest.mark.parametrize(("optimizer", "schedule", "algorithm"), SAMPLED)
def test_twenty_steps_without_nan(
    standalone_host: StandaloneHost, tmp_path: Path, optimizer: str, schedule: str, algorithm: str
) -> None:
    needs(optimizer)
    own = options(
        optimizer,
        scheduler=schedule,
        algorithm=algorithm,
        conv_rank=2,
        epochs=3,
        batch_size=1,
        repeats=2,
    )
    first = train(standalone_host, tmp_path, own, steps=0)
    last = train(standalone_host, tmp_path, own)
    assert all(bool(torch.isfinite(value).all()) for value in last.values())
    assert any(not torch.equal(first[name], last[name]) for name in last)


@pytest.mark.parametrize("optimizer", sorted(SOURCES))
def test_a_stopped_run_goes_on_exactly(
    standalone_host: StandaloneHost, tmp_path: Path, optimizer: str
) -> None:
    from lib_singlelora.errors import JobCancelled

    needs(optimizer)
    own = options(optimizer, algorithm="LoKr", module_dropout=0.2, rank_dropout=0.2)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = train(standalone_host, tmp_path / "whole", own)
    with pytest.raises(JobCancelled):
        train(standalone_host, tmp_path / "parts", own, stop_at=5)
    parts = train(standalone_host, tmp_path / "parts", own)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("optimizer", ["AdamWScheduleFree", "ProdigyPlusScheduleFree"])
def test_schedule_free_saves_its_mean_and_goes_on_from_where_it_was(optimizer: str) -> None:
    needs(optimizer)
    weight = nn.Parameter(torch.linspace(-1, 1, 8).view(2, 4))
    made = build_optimizer(
        options(optimizer, optimizer_args="d0=0.1" if optimizer != "AdamWScheduleFree" else ""),
        [{"params": [weight], "lr": 1.0, "base_lr": 1.0}],
        "cpu",
    )
    made.training()
    for _ in range(3):
        weight.grad = weight.detach().clone()
        made.torch.step()
    trained = weight.detach().clone()
    made.evaluating()
    assert not torch.equal(weight, trained)
    made.training()
    assert torch.allclose(weight, trained, atol=1e-6)


# The libraries' own defaults, by their signatures; what else there is comes from the settings.
OWN = {
    "AdamW": {"weight_decay": 0.01},
    "Lion": {"weight_decay": 0.0, "decoupled_weight_decay": False},
    "Prodigy": {
        "weight_decay": 0,
        "use_bias_correction": False,
        "safeguard_warmup": False,
        "decouple": True,
    },
    "DAdaptAdam": {"weight_decay": 0, "decouple": False},
    "AdamWScheduleFree": {"weight_decay": 0},
    "Adafactor": {
        "weight_decay": 0.0,
        "scale_parameter": True,
        "relative_step": True,
        "warmup_init": False,
    },
    "CAME": {"weight_decay": 0.0},
    "Muon": {"weight_decay": 0.0},
    "ProdigyPlusScheduleFree": {"weight_decay": 0.0},
}


def one_step(optimizer: str, **values: object) -> torch.optim.Optimizer:
    weight = nn.Parameter(torch.ones(2, 3))
    return build_optimizer(
        options(optimizer, **values), [{"params": [weight], "lr": 0.1, "base_lr": 0.1}], "cpu"
    ).torch


@pytest.mark.parametrize("optimizer", OWN)
def test_weight_decay_and_flags_are_the_librarys_own_unless_set(optimizer: str) -> None:
    needs(optimizer)
    group = {**one_step(optimizer).defaults, **one_step(optimizer).param_groups[0]}
    found = vars(one_step(optimizer))["decoupled_wd"] if optimizer == "Lion" else None
    if optimizer == "Lion":
        group["decoupled_weight_decay"] = found
    assert {
        key: group[key] for key in OWN[optimizer] if key in group or key == "weight_decay"
    }.items() <= OWN[optimizer].items()
    assert one_step(optimizer, weight_decay=0.2).param_groups[0]["weight_decay"] == 0.2
    own = one_step(optimizer, weight_decay=0.2, optimizer_args="weight_decay=0.3")
    assert own.param_groups[0]["weight_decay"] == 0.3


def test_muon_takes_matrices_and_adamw_the_rest() -> None:
    needs("Muon")
    weights = {
        "down": (2, 6),
        "conv": (4, 3, 3, 3),
        "magnitude": (1, 6),
        "thin": (6, 1, 1, 1),
        "scalar": (),
    }
    group = {
        "params": [nn.Parameter(torch.ones(shape)) for shape in weights.values()],
        "lr": 1e-3,
        "base_lr": 1e-3,
    }
    made = build_optimizer(options("Muon", weight_decay=0.1), [group], "cpu").torch
    split = {
        bool(own["use_muon"]): [tuple(p.shape) for p in own["params"]] for own in made.param_groups
    }
    assert split == {True: [(2, 6), (4, 3, 3, 3)], False: [(1, 6), (6, 1, 1, 1), ()]}
    assert all(own["base_lr"] == 1e-3 and own["weight_decay"] == 0.1 for own in made.param_groups)


def test_muon_steps_as_far_as_adamw_at_the_same_rate() -> None:
    needs("Muon")

    def moved(optimizer: str) -> float:
        weight = nn.Parameter(torch.zeros(16, 256))
        made = build_optimizer(
            options(optimizer), [{"params": [weight], "lr": 1e-3, "base_lr": 1e-3}], "cpu"
        ).torch
        weight.grad = torch.randn(16, 256, generator=torch.Generator().manual_seed(1))
        made.step()
        return float(weight.detach().square().mean().sqrt())

    # Moonlight's aim: 0.2 of Adam's largest step
    assert moved("Muon") == pytest.approx(0.2 * moved("AdamW"), rel=0.3)


def test_a_loaded_state_has_the_dtypes_that_were_saved() -> None:
    needs("ProdigyPlusScheduleFree")

    def made() -> tuple[Optimizer, nn.Parameter]:
        weight = nn.Parameter(torch.linspace(-1, 1, 32).view(4, 8))
        own = options("ProdigyPlusScheduleFree", optimizer_args="d0=1e-3")
        return (
            build_optimizer(own, [{"params": [weight], "lr": 1.0, "base_lr": 1.0}], "cpu"),
            weight,
        )

    def steps(optimizer: Optimizer, weight: nn.Parameter, first: int, last: int) -> None:
        for number in range(first, last):
            weight.grad = weight.detach() + torch.randn(
                4, 8, generator=torch.Generator().manual_seed(number)
            )
            optimizer.torch.step()

    (whole, one), (before, two), (after, three) = made(), made(), made()
    steps(whole, one, 0, 9)
    steps(before, two, 0, 5)
    three.data.copy_(two.data)
    after.load(copy.deepcopy(before.torch.state_dict()))
    steps(after, three, 5, 9)
    assert torch.equal(one, three)


def test_without_cuda_8bit_falls_back_and_says_so() -> None:
    made = build_optimizer(
        options("AdamW8bit"), [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.1}], "cpu"
    )
    assert isinstance(made.torch, torch.optim.AdamW) and "AdamW is used instead" in made.warning


def test_adamw_is_fused_on_a_cpu_and_resumes_from_an_unfused_snapshot() -> None:
    def made(arguments: str) -> tuple[Optimizer, nn.Parameter]:
        parameter = nn.Parameter(torch.linspace(-1, 1, 7))
        return (
            build_optimizer(
                settings(optimizer_args=arguments), [{"params": [parameter], "lr": 0.1}], "cpu"
            ),
            parameter,
        )

    def step(optimizer: Optimizer, parameter: nn.Parameter) -> None:
        parameter.grad = parameter.detach() ** 2
        optimizer.torch.step()

    (own, one), (plain, other) = made(""), made("fused=False")
    assert bool(own.torch.param_groups[0]["fused"]) == (torch.__version__ >= FUSED_ON_CPU_SINCE)
    assert not plain.torch.param_groups[0]["fused"]
    for _ in range(3):
        step(own, one)
        step(plain, other)
    assert torch.allclose(one, other, atol=1e-6)
    plain.load(copy.deepcopy(own.torch.state_dict()))
    assert not plain.torch.param_groups[0]["fused"]
    step(own, one)
    step(plain, other)
    assert torch.allclose(one, other, atol=1e-6)


def test_arguments_are_passed_on_and_mistakes_told() -> None:
    assert parse_arguments("d_coef=2; betas=(0.9, 0.99)") == {"d_coef": 2, "betas": (0.9, 0.99)}
    with pytest.raises(SettingsError, match="optimizer_args"):
        parse_arguments("betas")
    with pytest.raises(TrainingError, match="optimizer_args"):
        build_optimizer(
            settings(optimizer_args="colour=3"),
            [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.1}],
            "cpu",
        )


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(TrainingError, match="pip install prodigyopt"):
        build_optimizer(
            options("Prodigy"), [{"params": [nn.Parameter(torch.ones(2))], "lr": 1.0}], "cpu"
        )


@pytest.mark.parametrize("optimizer", ["Prodigy", "DAdaptAdam"])
def test_one_that_finds_its_rate_prints_nothing(
    optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    needs(optimizer)
    build_optimizer(
        options(optimizer), [{"params": [nn.Parameter(torch.ones(2))], "lr": 1.0}], "cpu"
    )
    assert capsys.readouterr().out == ""
