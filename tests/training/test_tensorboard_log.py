"""TensorBoard's files, written by a training and read back; the same figures in the log."""

import sys
from pathlib import Path

import pytest

from lib_singlelora.errors import MissingPackageError
from lib_singlelora.training.tensorboard_log import TensorboardLog


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_what_is_written_is_read_back_and_a_resumed_training_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with TensorboardLog(tmp_path) as board:
        for step in (1, 2, 3):
            board.write("training", {"loss": step / 2}, step)
    with TensorboardLog(tmp_path, 2) as board:
        board.write("training", {"loss": 9}, 3)
    assert scalars(tmp_path) == {"training/loss": [(1, 0.5), (2, 1.0), (3, 9.0)]}


def test_without_the_package_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingPackageError, match="pip install tensorboard, or switch it off"):
        TensorboardLog(tmp_path)
