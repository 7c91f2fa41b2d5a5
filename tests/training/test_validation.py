"""The validation loss: it depends on the weights alone, and is told wherever the loss is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.training.latents import LatentCache
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.trainer import Trainer, TrainerState
from lib_singlelora.training.validation import NOISES, Validation, bands
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel

Event = dict[str, Any]


def events(folder: Path, stop_at: int = 0, **values: Any) -> list[Event]:
    """What a training with its last picture held out told of its validation."""
    folder.mkdir(exist_ok=True)
    told: list[Event] = []
    job = Job("train")
    job._listener = lambda progress: job.cancel() if stop_at and progress.done == stop_at else None
    job.log = lambda kind, **more: told.append({"kind": kind, **more})
    options = settings(text_encoder_lr=0, **values)
    shown = pictures(folder)
    model = TinyModel()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    trainer = Trainer(
        model, network, shown[:2], options, folder / "s.pt", "x", lambda *_: folder, shown[2:]
    )
    trainer.resume()
    with suppress(JobCancelled):
        trainer.run(job)
    return [event for event in told if event["kind"] == "validation"]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, 1000, [200, 400, 600, 800]),
        (200, 700, [300, 400, 500, 600]),
        (10, 12, [10, 11]),
        (5, 6, [5]),
    ],
)
def test_the_bands_part_the_timesteps_that_are_trained(
    first: int, last: int, expected: list[int]
) -> None:
    assert bands(first, last) == expected


def test_each_band_is_the_mean_squared_error_there() -> None:
    """Against the formula written anew, tolerance 1e-5."""
    model = TinyModel()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    objective = Objective(
        model, network, settings(text_encoder_lr=0, min_snr_gamma=5, prior_loss_weight=0.1)
    )
    cache = LatentCache()
    latents = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    cache.get = lambda picture: latents
    shown = [Picture(Path("dog.png"), "a dog", (40, 48))]
    found = Validation(objective, shown, cache).measure()
    from lib_singlelora.training.batch import seeded

    for timestep, value in found.bands.items():
        alpha = model.alphas_cumprod[timestep].double()
        errors = []
        for number in range(NOISES):
            noise = torch.randn(
                latents.shape, generator=seeded(1, "validation", 0, number)
            ).double()
            noisy = alpha.sqrt() * latents.double() + (1 - alpha).sqrt() * noise
            answer = model.unet.double()(noisy) + 5 / 50 + timestep / 1000
            model.unet.float()
            errors.append(float((answer - noise).square().mean()))
        assert value == pytest.approx(sum(errors) / NOISES, rel=1e-5)
    assert found.loss == pytest.approx(sum(found.bands.values()) / 4)


def test_it_is_told_before_the_first_step_and_after_each_epoch_and_falls(tmp_path: Path) -> None:
    told = events(tmp_path, epochs=3, unet_lr=5e-3)
    assert [event["epoch"] for event in told] == [0, 1, 2, 3]
    assert set(told[0]["bands"]) == {200, 400, 600, 800}
    assert told[-1]["loss"] < told[0]["loss"]


def test_a_resumed_training_tells_the_same_numbers(tmp_path: Path) -> None:
    whole = events(tmp_path / "whole")
    parts = events(tmp_path / "parts", 3)
    parts += events(tmp_path / "parts")
    assert parts == whole


def test_a_cancel_while_an_epoch_is_measured_loses_none_of_its_steps(tmp_path: Path) -> None:
    model = TinyModel()
    saved = list[dict[str, torch.Tensor]]()
    steps = list[int]()

    def train(folder: Path, cancelled: bool) -> None:
        job = Job("train", lambda progress: steps.append(progress.done))
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
        folder.mkdir(exist_ok=True)
        shown = pictures(folder)

        def save(epoch: int, trained: LoraNetwork, state: TrainerState) -> Path:
            saved.append({key: value.clone() for key, value in trained.state_dict().items()})
            return folder

        options = settings(text_encoder_lr=0, epochs=1, repeats=2, optimizer="AdamWScheduleFree")
        trainer = Trainer(model, network, shown[:2], options, folder / "s.pt", "x", save, shown[2:])
        trainer.resume()
        plain = trainer._validate
        trainer._validate = lambda epoch, job: (
            job.cancel() if cancelled and epoch else None,
            plain(epoch, job),
        )[1]
        with suppress(JobCancelled):
            trainer.run(job)

    train(tmp_path / "whole", False)
    train(tmp_path / "parts", True)
    assert len(saved) == 1
    last = max(steps)
    steps.clear()
    train(tmp_path / "parts", False)
    assert min(steps) == last, "steps that were done are not done again"
    assert len(saved) == 2 and all(saved[1][key].equal(value) for key, value in saved[0].items())


def test_a_resumed_training_still_tells_what_it_began_with(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    for stop_at in (3, 0):
        job = Job("train")
        job._listener = lambda progress, job=job, stop_at=stop_at: (
            told.append(dict(progress.values)),
            job.cancel() if stop_at and progress.done == stop_at else None,
        )
        model = TinyModel()
        shown = pictures(tmp_path)
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
        trainer = Trainer(
            model,
            network,
            shown[:2],
            settings(text_encoder_lr=0),
            tmp_path / "s.pt",
            "x",
            lambda *_: tmp_path,
            shown[2:],
        )
        trainer.resume()
        with suppress(JobCancelled):
            trainer.run(job)
    starts = {values["validation_start"] for values in told if "validation_start" in values}
    assert len(starts) == 1 and "validation_start" in told[-1]


def test_measuring_changes_nothing_of_the_training(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    with standalone_host.open_for_training() as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        trainer = Trainer(
            model,
            network,
            pictures(tmp_path),
            settings(),
            tmp_path / "s.pt",
            "x",
            lambda *_: tmp_path,
            pictures(tmp_path)[:1],
        )
        validation = trainer.validation
        assert validation
        validation.fill(lambda done, total: None)
        network.train()
        before = torch.random.get_rng_state()
        with attached(network, model.targets()):
            assert validation.measure() == validation.measure()
        assert network.training and torch.random.get_rng_state().equal(before)
        assert all(parameter.grad is None for parameter in network.parameters())


def test_tensorboard_gets_every_band(tmp_path: Path) -> None:
    written: list[tuple[str, list[str], int]] = []
    model = TinyModel()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    trainer = Trainer(
        model,
        network,
        pictures(tmp_path)[:1],
        settings(text_encoder_lr=0, epochs=1, repeats=2),
        tmp_path / "s.pt",
        "x",
        lambda *_: tmp_path,
        pictures(tmp_path)[1:],
    )
    board: Any = type(
        "B",
        (),
        {"write": lambda _, group, values, step: written.append((group, list(values), step))},
    )()
    trainer.log.board = board
    trainer.run(Job("train"))
    names = ["loss", "t200", "t400", "t600", "t800"]
    assert [each for each in written if each[0] == "validation"] == [
        ("validation", names, 0),
        ("validation", names, 2),
    ]
