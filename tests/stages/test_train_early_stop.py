"""Training that ends when its probed epochs get no better."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.files import read_lora
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.train import TrainResult, train
from lib_singlelora.stages.train_early_stop import EarlyStop
from lib_singlelora.workspace.kohya_folders import list_pictures
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

SHORT = {
    "training__epochs": 4,
    "training__repeats": 1,
    "training__batch_size": 4,
    "training__save_precision": "fp32",
    "training__early_stop_pictures": 1,
}
# Epochs that all score alike: the second is no better than the first, nor is the third
PATIENT = {**SHORT, "training__early_stop": True, "training__early_stop_patience": 2}


@pytest.fixture(autouse=True)
def _alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that chance does not change; the pictures are drawn all the same."""
    real = EarlyStop._scores

    def alike(self: EarlyStop, *networks: object) -> dict[str, float]:
        return dict.fromkeys(real(self, *networks), 0.5)  # type: ignore[arg-type]

    monkeypatch.setattr(EarlyStop, "_scores", alike)
    monkeypatch.setattr("lib_singlelora.training.preview.STEPS", 3)


def trained(workspace: Workspace, host: StandaloneHost, job: Job, **values: object) -> TrainResult:
    return train(StageContext(small(**values), workspace, host, job))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_lora(path).tensors


def same(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def empty(workspace: Workspace) -> Workspace:
    """Without LoRAs, and with two crops, so that training is short."""
    for path in workspace.models.glob("*.safetensors"):
        path.unlink()
    for path in list_pictures(workspace.image_folder(small()))[2:]:
        path.unlink()
    return workspace


def test_it_ends_early_with_the_weights_of_a_training_that_is_not_probed(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    stopped = trained(empty(eileen), standalone_host, Job("train"), **PATIENT)
    assert [path.name for path in stopped.loras] == [
        f"eileen-{n:06d}.safetensors" for n in (1, 2, 3)
    ]
    assert "after epoch 3" in stopped.stopped and "since epoch 1" in stopped.stopped
    copies = [tmp_path / path.name for path in stopped.loras]
    for path, copy in zip(stopped.loras, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    assert trained(eileen, standalone_host, Job("train"), **PATIENT).stopped == stopped.stopped

    # Without it the training goes on from where it ended, and the last epoch follows
    whole = trained(eileen, standalone_host, Job("train"), **SHORT)
    assert len(whole.loras) == 4 and whole.stopped == ""

    # The file of a last epoch that this training did not reach is none of its own
    context = StageContext(small(**PATIENT), eileen, standalone_host, Job("train"), force=True)
    assert train(context).loras == stopped.loras and not whole.loras[3].exists()

    plain = Workspace(eileen.root)
    (plain.snapshot / "state.pt").unlink()
    again = train(
        StageContext(small(**SHORT), empty(plain), standalone_host, Job("train"), force=True)
    )
    assert all(same(*pair) for pair in zip(copies, again.loras[:3], strict=True))


def test_a_cancelled_one_ends_where_it_would_have_ended(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    def stop(progress: Progress) -> None:
        if "epoch 2 probed" in progress.message:
            job.cancel()

    job = Job("train", stop)
    with pytest.raises(JobCancelled):
        trained(empty(eileen), standalone_host, job, **PATIENT)
    assert eileen.record("train").data["probes"].keys() == {"1", "2"}
    result = trained(eileen, standalone_host, Job("train"), **PATIENT)
    assert len(result.loras) == 3 and "after epoch 3" in result.stopped
