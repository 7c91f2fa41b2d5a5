"""The loop on the small checkpoint: it learns, resumes exactly, and notices what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from lib_singlelora.errors import JobCancelled, SnapshotError, TrainingError
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.branches import LoraShape, shape_of
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.settings.schema import Settings
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.trainer import Trainer, TrainerState

if TYPE_CHECKING:  # other tests take what is here where there is no diffusers
    from lib_singlelora.hosts.standalone.host import StandaloneHost

Result = dict[str, torch.Tensor]


def pictures(folder: Path) -> list[Picture]:
    made = []
    for index in range(3):
        values = np.random.default_rng(index).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        path = folder / f"{index}.png"
        Image.fromarray(values).resize((64, 64), Image.Resampling.NEAREST).save(path)
        made.append(Picture(path, "isabella, girl, red, blue", (64, 64), 2, index == 2))
    return made


def settings(**values: object) -> TrainingSettings:
    own = {
        "rank": 2,
        "alpha": 2,
        "epochs": 2,
        "unet_lr": 1e-3,
        "text_encoder_lr": 1e-3,
        "warmup": 0,
        **values,
    }
    return Settings.from_dict({f"training.{key}": value for key, value in own.items()}).training


def train(
    host: StandaloneHost,
    folder: Path,
    options: TrainingSettings,
    stop_at: int = 0,
    steps: int | None = None,
) -> Result:
    """Train and give the network's state after the last step; with stop_at, cancel after that many
    steps; steps 0: before any.
    """
    job = Job("train")
    job._listener = lambda progress: job.cancel() if stop_at and progress.done == stop_at else None

    def save(epoch: int, network: LoraNetwork, state: TrainerState) -> Path:
        return folder / f"{epoch}.safetensors"

    with host.open_for_training() as model:
        network = LoraNetwork(
            model.targets(),
            model.layout,
            shape_of(options),
            {},
            options.text_encoder_lr > 0,
            options.seed,
        )
        trainer = Trainer(
            model, network, pictures(folder), options, folder / "state.pt", "same", save
        )
        if steps != 0:
            trainer.resume()
            trainer.run(job)
        return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("stop_at", [1, 4, 5, 7])
def test_a_cancelled_and_resumed_run_equals_an_uninterrupted_one(
    standalone_host: StandaloneHost, tmp_path: Path, stop_at: int
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = train(standalone_host, tmp_path / "whole", settings(flip=True, noise_offset=0.1))
    with pytest.raises(JobCancelled):
        train(standalone_host, tmp_path / "parts", settings(flip=True, noise_offset=0.1), stop_at)
    parts = train(standalone_host, tmp_path / "parts", settings(flip=True, noise_offset=0.1))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_training_lowers_the_loss_and_an_untrained_network_changes_nothing(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    with standalone_host.open_for_training() as model:
        options = settings(epochs=20, repeats=1, unet_lr=5e-3)
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 4), {}, True, 1)
        trainer = Trainer(
            model,
            network,
            pictures(tmp_path)[:1],
            options,
            tmp_path / "s.pt",
            "x",
            lambda *_: tmp_path,
        )
        trainer.latents.fill(model, trainer.pictures, Versions(), lambda done, total: None)
        from lib_singlelora.training.epoch_plan import Sample

        fixed = [Sample(trainer.pictures[0], 100 + n) for n in range(8)]
        with torch.no_grad():
            plain = float(trainer.loss(fixed))
            with attached(network, model.targets()):
                assert float(trainer.loss(fixed)) == plain
        trainer.run(Job("train"))
        with torch.no_grad(), attached(network, model.targets()):
            assert float(trainer.loss(fixed)) < plain * 0.95


def test_regularization_pictures_count_with_their_weight(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    from lib_singlelora.training.epoch_plan import Sample

    own = pictures(tmp_path)
    losses = []
    with standalone_host.open_for_training() as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        for weight in (1.0, 0.25):
            options = settings(prior_loss_weight=weight)
            trainer = Trainer(
                model, network, own, options, tmp_path / "s.pt", "x", lambda *_: tmp_path
            )
            trainer.latents.fill(model, own, Versions(), lambda done, total: None)
            with torch.no_grad():
                losses.append(float(trainer.loss([Sample(own[2], 5)])))
    assert losses[1] == pytest.approx(losses[0] * 0.25, rel=1e-6)


def test_a_loss_that_is_no_number_stops_and_says_what_to_lower(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"training\.unet_lr"):
        train(
            standalone_host,
            tmp_path,
            settings(unet_lr=1, text_encoder_lr=1, rank=8, alpha=320, max_grad_norm=0, epochs=30),
        )


def test_a_broken_snapshot_is_told(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"half a snapshot")
    with pytest.raises(SnapshotError, match="--force"):
        train(standalone_host, tmp_path, settings())


def test_progress_names_epoch_and_loss(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    seen: list[Progress] = []
    with standalone_host.open_for_training() as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        trainer = Trainer(
            model,
            network,
            pictures(tmp_path),
            settings(epochs=1),
            tmp_path / "s.pt",
            "x",
            lambda *_: tmp_path,
        )
        trainer.run(Job("train", seen.append))
    assert seen[-1].done == seen[-1].total == trainer.budget.steps
    assert "epoch 1 of 1" in seen[-1].message and seen[-1].values["loss"] > 0
