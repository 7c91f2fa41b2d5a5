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
from lib_singlelora.settings_training import TrainingSettings
from lib_singlelora.training.optimizers import FUSED, SOURCES, Optimizer, build_optimizer, parse_arguments
from tests.training.test_loop import settings, train

OPTIMIZERS = ("AdamW", "AdamW8bit", "Lion", "Prodigy", "DAdaptAdam", "Adafactor", "AdamWScheduleFree")
SCHEDULES = ("constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "rex")
ALGORITHMS = ("LoRA", "LoCon", "LoHa", "LoKr", "DoRA")
EVERY = list(itertools.product(OPTIMIZERS, SCHEDULES, ALGORITHMS))
# 21 of 210: all optimizers three times, all schedules, all algorithms; drawn once, so that every run tests the same.
SAMPLED = [combination for optimizer in OPTIMIZERS
           for combination in random.Random(optimizer).sample([c for c in EVERY if c[0] == optimizer], 3)]


def options(optimizer: str, **values: object) -> TrainingSettings:
    rate = 1.0 if SOURCES[optimizer].own_rate else 1e-3
    return settings(optimizer=optimizer, unet_lr=rate, text_encoder_lr=rate / 2, **values)


def needs(optimizer: str) -> None:
    if optimizer != "AdamW8bit":  # falls back to AdamW where there is no CUDA
        pytest.importorskip(SOURCES[optimizer].module)


def test_the_sample_holds_every_kind() -> None:
    assert {c[1] for c in SAMPLED} == set(SCHEDULES) and {c[2] for c in SAMPLED} == set(ALGORITHMS)


@pytest.mark.parametrize(("optimizer", "schedule", "algorithm"), SAMPLED)
def test_twenty_steps_without_nan(standalone_host: StandaloneHost, tmp_path: Path, optimizer: str, schedule: str,
                                  algorithm: str) -> None:
    needs(optimizer)
    own = options(optimizer, scheduler=schedule, algorithm=algorithm, conv_rank=2, epochs=3, batch_size=1, repeats=2)
    first, last = train(standalone_host, tmp_path, own, steps=0), train(standalone_host, tmp_path, own)
    assert all(bool(torch.isfinite(value).all()) for value in last.values())
    assert any(not torch.equal(first[name], last[name]) for name in last)


@pytest.mark.parametrize("optimizer", sorted(SOURCES))
def test_a_stopped_run_goes_on_exactly(standalone_host: StandaloneHost, tmp_path: Path, optimizer: str) -> None:
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


def test_without_cuda_8bit_falls_back_and_says_so() -> None:
    made = build_optimizer(options("AdamW8bit"), [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.1}], "cpu")
    assert isinstance(made.torch, torch.optim.AdamW) and "AdamW is used instead" in made.said


def test_on_a_cpu_adamw_steps_in_one_call_where_pytorch_has_one_and_a_snapshot_of_another_way_goes_on() -> None:
    def made(arguments: str) -> tuple[Optimizer, nn.Parameter]:
        parameter = nn.Parameter(torch.linspace(-1, 1, 7))
        return build_optimizer(settings(optimizer_args=arguments), [{"params": [parameter], "lr": 0.1}], "cpu"), parameter

    def step(optimizer: Optimizer, parameter: nn.Parameter) -> None:
        parameter.grad = parameter.detach() ** 2
        optimizer.torch.step()

    (own, one), (plain, other) = made(""), made("fused=False")
    assert bool(own.torch.param_groups[0]["fused"]) == (torch.__version__ >= FUSED)
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
        build_optimizer(settings(optimizer_args="colour=3"), [{"params": [nn.Parameter(torch.ones(2))], "lr": 0.1}], "cpu")


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(TrainingError, match="pip install prodigyopt"):
        build_optimizer(options("Prodigy"), [{"params": [nn.Parameter(torch.ones(2))], "lr": 1.0}], "cpu")


@pytest.mark.parametrize("optimizer", ["Prodigy", "DAdaptAdam"])
def test_one_that_finds_its_rate_prints_nothing(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    needs(optimizer)
    build_optimizer(options(optimizer), [{"params": [nn.Parameter(torch.ones(2))], "lr": 1.0}], "cpu")
    assert capsys.readouterr().out == ""
