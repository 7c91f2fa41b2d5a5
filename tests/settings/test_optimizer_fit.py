"""A preset's rates and schedule under another optimizer: fitted where they are the preset's, told
where a person set them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lib_singlelora.errors import SettingsError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.settings import preset_files
from lib_singlelora.settings.optimizer_fit import fitted, unscaled
from lib_singlelora.settings.optimizer_table import SOURCES
from lib_singlelora.settings.schema import Settings
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.training.optimizers import build_optimizer
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import pictures

OWN_RATE = ("Prodigy", "DAdaptAdam", "ProdigyPlusScheduleFree")


def training(**values: object) -> TrainingSettings:
    return Settings.from_dict({f"training.{key}": value for key, value in values.items()}).training


@pytest.mark.parametrize("optimizer", OWN_RATE)
def test_a_presets_rate_becomes_1_and_a_half_that_is_not_trained_stays_so(optimizer: str) -> None:
    fit = fitted(training(optimizer=optimizer))
    assert (fit.settings.unet_lr, fit.settings.text_encoder_lr) == (1.0, 0.0)
    assert any("0.001 becomes 1" in sentence for sentence in fit.said)
    both = fitted(training(optimizer=optimizer, preset="article")).settings
    assert (both.unet_lr, both.text_encoder_lr) == (1.0, 1.0)
    assert fitted(fit.settings).settings == fit.settings


@pytest.mark.parametrize("optimizer", OWN_RATE)
def test_another_rate_below_a_tenth_is_warned_of_and_stays(optimizer: str) -> None:
    fit = fitted(training(optimizer=optimizer, unet_lr=1e-4))
    assert fit.settings.unet_lr == 1e-4 and any("below 0.1" in sentence for sentence in fit.said)
    assert not any(
        "below" in sentence for sentence in fitted(training(optimizer=optimizer, unet_lr=0.5)).said
    )


def test_optimizers_that_take_a_rate_keep_it_without_a_word() -> None:
    for optimizer in ("AdamW", "AdamW8bit", "Lion", "CAME", "Muon"):
        assert fitted(training(optimizer=optimizer)) == fitted(
            training(optimizer=optimizer, unet_lr=1e-3)
        )
        assert fitted(training(optimizer=optimizer)).said == ()


def test_schedule_free_takes_no_schedule_of_a_preset() -> None:
    for optimizer in ("AdamWScheduleFree", "ProdigyPlusScheduleFree"):
        fit = fitted(training(optimizer=optimizer))
        assert fit.settings.scheduler == "constant" and any(
            "cosine becomes constant" in each for each in fit.said
        )
        kept = fitted(training(optimizer=optimizer, scheduler="linear"))
        assert kept.settings.scheduler == "linear" and any("on top" in each for each in kept.said)
    assert (
        fitted(
            training(optimizer="ProdigyPlusScheduleFree", optimizer_args="use_schedulefree=False")
        ).settings.scheduler
        == "cosine"
    )


def test_what_adafactor_does_with_rates_is_told() -> None:
    assert "count for nothing" in fitted(training(optimizer="Adafactor")).said[0]
    assert (
        "scale_parameter"
        in fitted(training(optimizer="Adafactor", optimizer_args="relative_step=False")).said[0]
    )
    fixed = training(
        optimizer="Adafactor", optimizer_args="relative_step=False; scale_parameter=False"
    )
    assert fitted(fixed).said == ()


def test_one_rate_for_all_is_told() -> None:
    half = parse_block_weights("ALL0.5", SD1)
    assert "count as 1" in unscaled(training(optimizer="Prodigy"), half)[0]
    assert (
        unscaled(training(optimizer="ProdigyPlusScheduleFree"), half)
        == unscaled(training(), half)
        == []
    )
    assert unscaled(training(optimizer="Prodigy"), parse_block_weights("OUTD", SD1)) == []
    said = fitted(training(optimizer="Prodigy", unet_lr=1, text_encoder_lr=0.5)).said
    assert any("one rate for all" in sentence for sentence in said)


def test_a_saved_presets_own_rates_for_its_optimizer_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path)
    own = Settings.from_dict({"training": {"optimizer": "Prodigy", "unet_lr": 0.5}})
    preset_files.save_preset("mine", own.to_preset())
    assert fitted(training(preset="mine")).settings.unet_lr == 0.5
    back = fitted(training(preset="mine", optimizer="AdamW"))
    assert back.settings.unet_lr == 1e-4 and any(
        "takes a rate" in sentence for sentence in back.said
    )


def test_broken_arguments_are_told_before_anything_is_trained() -> None:
    with pytest.raises(SettingsError, match="optimizer_args"):
        fitted(training(optimizer_args="betas=(0.9"))


@pytest.mark.parametrize("optimizer", OWN_RATE)
def test_at_a_presets_rate_nothing_is_learned_and_fitted_it_is(optimizer: str) -> None:
    pytest.importorskip(SOURCES[optimizer].module)
    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    wanted = inputs @ torch.linspace(-1, 1, 8).unsqueeze(1)

    def loss_after(options: TrainingSettings, steps: int = 300) -> float:
        weight = nn.Parameter(torch.zeros(8, 1))
        made = build_optimizer(
            options,
            [{"params": [weight], "lr": options.unet_lr, "base_lr": options.unet_lr}],
            "cpu",
        )
        made.training()
        for _ in range(steps):
            loss = (inputs @ weight - wanted).square().mean()
            made.torch.zero_grad()
            loss.backward()
            made.torch.step()
        made.evaluating()
        return float((inputs @ weight - wanted).detach().square().mean())

    options = training(optimizer=optimizer)
    start = float(wanted.square().mean())
    assert loss_after(options) > 0.999 * start
    assert loss_after(fitted(options).settings) < 0.5 * start


def test_the_trainer_trains_at_the_fitted_rate(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    pytest.importorskip("prodigyopt")
    options = training(optimizer="Prodigy", rank=2)
    with standalone_host.open_for_training() as model:
        network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, 1)
        trainer = Trainer(
            model, network, pictures(tmp_path), options, tmp_path / "s.pt", "x", lambda *_: tmp_path
        )
        assert {group["base_lr"] for group in trainer.optimizer.torch.param_groups} == {1.0}
