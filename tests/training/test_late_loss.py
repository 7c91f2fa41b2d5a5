"""A loss that is read a step late, as on a GPU: the same training, told the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_singlelora.errors import JobCancelled, TrainingError
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.training.late_loss import LateLoss
from lib_singlelora.training.trainer import Trainer, TrainerState
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel

TOLD = ("step", "epoch", "loss", "smoothed", "lr")  # of a step; not its seconds
Events = list[tuple[object, ...]]


class Watched:
    """A training on the CPU, and what it told.

    means: of the epochs' losses, when each was saved.
    """

    def __init__(self, folder: Path, late: bool, **options: object) -> None:
        folder.mkdir(exist_ok=True)
        model = TinyModel()
        self.network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        self.means: list[float] = []
        self.trainer = Trainer(
            model,
            self.network,
            pictures(folder),
            settings(**options),
            folder / "s.pt",
            "x",
            self._saved,
        )
        self.trainer.reads_late = late
        self.events: Events = []

    def _saved(self, epoch: int, network: LoraNetwork, state: TrainerState) -> Path:
        self.means.append(sum(state.losses) / len(state.losses))
        return Path("x.safetensors")

    def run(self, cancel_at: int = 0) -> None:
        def stop(progress: Progress) -> None:
            if cancel_at and progress.done == cancel_at and progress.values:
                job.cancel()

        job = Job("train", stop)
        job.log = self._log  # type: ignore[method-assign]
        self.trainer.run(job)

    def _log(self, kind: str, **values: object) -> None:
        if kind == "step":
            self.events.append(tuple(values[name] for name in TOLD))

    def weights(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.network.parameters()]


def same(one: Watched, other: Watched) -> bool:
    pairs = zip(one.weights(), other.weights(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_it_is_the_same_training_and_tells_the_same(tmp_path: Path, accumulation: int) -> None:
    runs = [
        Watched(tmp_path / str(late), late, gradient_accumulation=accumulation)
        for late in (False, True)
    ]
    for run in runs:
        run.run()
    now, late = runs
    assert same(now, late) and late.means == pytest.approx(now.means, rel=1e-6)
    assert now.events and [event[:2] for event in late.events] == [e[:2] for e in now.events]
    assert [event[2:] for event in late.events] == [
        pytest.approx(event[2:], abs=2e-6) for event in now.events
    ]


def test_a_cancelled_run_keeps_the_loss_that_was_not_told_yet(tmp_path: Path) -> None:
    whole = Watched(tmp_path / "whole", True)
    whole.run()
    broken = Watched(tmp_path / "broken", True)
    with pytest.raises(JobCancelled):
        broken.run(cancel_at=2)
    again = Watched(tmp_path / "broken", True)
    assert again.trainer.resume()
    again.run()
    assert same(whole, again)
    steps = [event[0] for event in (*broken.events, *again.events)]
    assert steps == [event[0] for event in whole.events]
    assert again.means == whole.means[-len(again.means) :]


def test_a_loss_that_is_no_number_is_told_with_its_step(tmp_path: Path) -> None:
    run = Watched(tmp_path / "nan", True)
    loss = run.trainer.objective.loss_of
    asked = 0

    def broken(*args: object) -> torch.Tensor:
        nonlocal asked
        asked += 1
        found: torch.Tensor = loss(*args)  # type: ignore[arg-type]
        return found * float("nan") if asked == 3 else found

    run.trainer.objective.loss_of = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(TrainingError, match="step 3: the loss is nan"):
        run.run()
    assert [event[0] for event in run.events] == [1, 2]


def test_a_number_and_a_tensor_are_read_as_they_were(tmp_path: Path) -> None:
    tensor = torch.tensor(0.5)
    late = LateLoss(tensor)
    tensor.fill_(3)  # as a replay writes the next one there
    assert late.read() == 0.5 and LateLoss(0.25).read() == 0.25
