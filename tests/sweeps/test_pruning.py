"""Which trials are given up, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="sweeps need optuna: pip install 'single-image-lora[sweep]'")

from lib_singlelora.jobs import Job
from lib_singlelora.sweeps.search import Pruning
from lib_singlelora.sweeps.storage import open_storage
from lib_singlelora.sweeps.unit_queue import Unit, UnitQueue
from lib_singlelora.sweeps.worker import Pruned, work

EPOCHS = 10
Curve = Callable[[int], float]
ORDINARY: dict[str, Curve] = {
    f"{number}": lambda epoch, level=level: level * epoch / EPOCHS
    for number, level in enumerate((0.5, 0.6, 0.7, 0.8))
}


def late(epoch: int) -> float:
    """The worst of all at first, the best at last."""
    return -0.5 if epoch < 4 else 0.2 * epoch


def hopeless(epoch: int) -> float:
    return -1.0


def run(folder: Path, kind: str, curves: dict[str, Curve]) -> dict[str, tuple[str, int]]:
    """By the trial's name how it ended, and after how many epochs."""
    storage = open_storage(str(folder / "journal.log"), create=True)
    queue = UnitQueue.begin(storage, kind, {})
    queue.add({name: {} for name in curves})
    pruning = Pruning(kind, queue)

    def train(unit: Unit, job: Job) -> Sequence[float]:
        for epoch in range(1, EPOCHS + 1):
            unit.report(epoch, curves[unit.key](epoch))
            if epoch < EPOCHS and pruning.gives_up(unit, EPOCHS):
                raise Pruned
        return [curves[unit.key](EPOCHS)]

    work(queue, train, Job())
    return {key: (state.state, len(state.epochs)) for key, state in queue.states().items()}


@pytest.mark.parametrize(("kind", "epochs"), [("median", 5), ("halving", 4)])
def test_the_hopeless_are_given_up_and_a_late_one_is_not(
    tmp_path: Path, kind: str, epochs: int
) -> None:
    ended = run(tmp_path, kind, {**ORDINARY, "late": late, "hopeless": hopeless})
    assert ended["hopeless"] == ("pruned", epochs)
    assert ended["late"] == ("complete", EPOCHS)
    assert ended["3"] == ("complete", EPOCHS)


def test_halving_keeps_the_better_half_at_each_rung(tmp_path: Path) -> None:
    falling = {f"{n}": (lambda epoch, level=0.9 - n / 10: level) for n in range(6)}
    ended = run(tmp_path, "halving", falling)
    assert ended["0"] == ("complete", EPOCHS)
    assert all(ended[key] == ("pruned", 4) for key in "2345"), ended


def test_without_pruning_every_trial_runs_to_its_end(tmp_path: Path) -> None:
    ended = run(tmp_path, "none", {**ORDINARY, "hopeless": hopeless})
    assert set(ended.values()) == {("complete", EPOCHS)}


def test_a_training_of_one_or_two_epochs_is_compared_too(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "journal.log"), create=True)
    queue = UnitQueue.begin(storage, "short", {})
    queue.add({name: {} for name in ("0", "1", "2", "3", "bad")})
    pruning = Pruning("median", queue)

    def train(unit: Unit, job: Job) -> Sequence[float]:
        unit.report(1, -1.0 if unit.key == "bad" else 0.5)
        if pruning.gives_up(unit, 2):
            raise Pruned
        return [0.5]

    work(queue, train, Job())
    assert {key: state.state for key, state in queue.states().items()} == {
        **dict.fromkeys("0123", "complete"),
        "bad": "pruned",
    }
