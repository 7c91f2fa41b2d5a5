"""Train with what careful users switch on: held-out crops, averaged weights, memory reported."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.files import read_lora
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.stages.train_task import SWITCHES, learned_settings
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small


def test_validation_average_and_memory_are_logged_and_returned(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    events: list[dict[str, Any]] = []
    job = Job("train")
    job.log = lambda kind, **values: events.append({"kind": kind, **values})
    options = {
        "training__epochs": 1,
        "training__repeats": 1,
        "training__text_encoder_lr": 0,
        "training__ema": True,
    }
    settings = small(**options, training__validation="holdout")
    result = run_stage("train", StageContext(settings, eileen, standalone_host, job, force=True))
    [begun] = [event for event in events if event["kind"] == "train"]
    crops = {path.stem for path in eileen.image_folder(settings).glob("*.png")}
    assert set(begun["validated"]) < crops and begun["validated"] and begun["precision"] == "no"
    assert [event["epoch"] for event in events if event["kind"] == "validation"] == [0, 1]
    assert result["memory"] == begun["memory"] and "MB at the peak of a step" in result["memory"]
    assert result["budget"].startswith(f"{len(crops) - len(begun['validated'])} samples")
    found = read_lora(eileen.models / "eileen.safetensors").metadata
    assert found["ss_mixed_precision"] == "no" and found["ss_total_batch_size"] == "1"
    again = run_stage(
        "train",
        StageContext(small(**options, training__validation="picture"), eileen, standalone_host),
    )
    assert again["loras"]


def test_predicting_pictures_of_the_class_where_none_is_shown_is_told(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    settings = small(
        training__epochs=1,
        training__repeats=1,
        training__regularization="none",
        training__class_prediction=True,
    )
    result = run_stage("train", StageContext(settings, eileen, standalone_host, force=True))
    told = [warning for warning in result["warnings"] if "class_prediction" in warning]
    assert len(told) == 1 and "training.regularization=pictures" in told[0]


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ({}, set()),
        ({"ema_decay": 0.5, "timestep_rank_min": 0.1}, set()),
        ({"view_timesteps": "by view"}, {"view_timesteps"}),
        ({"band_weights": "1,2"}, {"band_weights"}),
        ({"attention_loss": 0.1}, {"attention_loss"}),
        ({"timestep_rank": True}, {"timestep_rank", "timestep_rank_min", "timestep_rank_power"}),
    ],
)
def test_what_is_off_leaves_a_training_the_one_that_it_was(
    on: dict[str, object], expected: set[str]
) -> None:
    """A workspace that was trained before there was such a setting is not trained again."""
    newer = {name for switch, others in SWITCHES.items() for name in (switch, *others)}
    options = Settings.from_dict({f"training.{name}": value for name, value in on.items()})
    assert newer & learned_settings(options.training).keys() == expected


class _StopAfter:
    """Cancels a job in its second step."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.steps = 0

    def __call__(self, progress: Progress) -> None:
        self.steps += progress.stage == "train" and "loss" in progress.message
        if self.steps == 2:
            self.job.cancel()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_training_that_began_in_bf16_on_a_cpu_goes_on_in_it(
    eileen: Workspace,
    standalone_host: StandaloneHost,
    monkeypatch: pytest.MonkeyPatch,
    checkpointing: bool,
) -> None:
    """Even if the processor, busy with something else, is now measured otherwise."""
    settings = small(
        training__epochs=1,
        training__repeats=1,
        training__gradient_checkpointing=checkpointing,
        training__auto_checkpointing=False,
    )
    finished = {}
    for stops in (False, True):
        monkeypatch.setitem(vars(standalone_host), "_is_quicker_in_bf16", True)
        job = Job("train")
        if stops:
            job.report = _StopAfter(job)
            with pytest.raises(JobCancelled):
                run_stage("train", StageContext(settings, eileen, standalone_host, job, force=True))
            monkeypatch.setitem(vars(standalone_host), "_is_quicker_in_bf16", False)
            run_stage("train", StageContext(settings, eileen, standalone_host))
        else:
            run_stage("train", StageContext(settings, eileen, standalone_host, job, force=True))
        finished[stops] = read_lora(eileen.models / "eileen.safetensors")
    assert finished[True].metadata["ss_mixed_precision"] == "bf16"
    assert finished[False].tensors.keys() == finished[True].tensors.keys()
    for name, tensor in finished[False].tensors.items():
        assert torch.equal(tensor, finished[True].tensors[name]), name
