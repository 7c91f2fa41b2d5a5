"""The average of the LoRA's weights: its values, what is saved of it, and its resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lib_singlelora.errors import JobCancelled, TrainingError
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.training.ema import Ema
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import Result, pictures, settings
from tests.training.tiny_model import TinyModel


def state(network: nn.Module) -> Result:
    return {key: value.clone() for key, value in network.state_dict().items()}


def trained(folder: Path, stop_at: int = 0, **values: Any) -> tuple[Result, Result]:
    """(what the last epoch saved, the network after it)."""
    saved: list[Result] = []
    options = settings(text_encoder_lr=0, **values)
    job = Job("train")
    job._listener = lambda progress: job.cancel() if stop_at and progress.done == stop_at else None
    folder.mkdir(exist_ok=True)

    def save(epoch: int, network: LoraNetwork, _: object) -> Path:
        saved.append(state(network))
        return folder / f"{epoch}.safetensors"

    model = TinyModel()
    network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, options.seed)
    trainer = Trainer(model, network, pictures(folder), options, folder / "state.pt", "same", save)
    trainer.resume()
    trainer.run(job)
    return saved[-1], state(network)


def test_it_is_the_weighted_mean_of_the_steps() -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
    average = Ema(network, 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 4.0, 2.0, 8.0, 8.0, 8.0], 1):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update(network)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.applied(network):
        assert network.weight.item() == pytest.approx(expected, rel=1e-6)
    assert network.weight.item() == 8.0


def test_the_file_holds_the_average_and_the_training_is_not_changed_by_it(tmp_path: Path) -> None:
    plain, weights = trained(tmp_path / "plain")
    average, same = trained(tmp_path / "ema", ema=True, ema_decay=0.9)
    assert all(
        torch.equal(weights[key], same[key]) and torch.equal(plain[key], weights[key])
        for key in weights
    )
    assert any(not torch.equal(average[key], weights[key]) for key in weights)


def test_a_resumed_average_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole", ema=True)
    with pytest.raises(JobCancelled):
        trained(tmp_path / "parts", 5, ema=True)
    parts, _ = trained(tmp_path / "parts", ema=True)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_an_optimizer_that_averages_by_itself_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("schedulefree")
    with pytest.raises(TrainingError, match=r"training\.ema: found AdamWScheduleFree"):
        trained(tmp_path, ema=True, optimizer="AdamWScheduleFree")
