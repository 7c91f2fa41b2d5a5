"""The stage with what a careful user switches on: held-out crops, an average, the peak beside the
budget.
"""

from __future__ import annotations

from typing import Any

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import read_lora
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small


def test_validation_average_and_memory_are_told(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    told: list[dict[str, Any]] = []
    job = Job("train")
    job.log = lambda kind, **values: told.append({"kind": kind, **values})  # type: ignore[method-assign]
    options = {
        "training__epochs": 1,
        "training__repeats": 1,
        "training__text_encoder_lr": 0,
        "training__ema": True,
    }
    asked = small(**options, training__validation="holdout")
    made = run_stage("train", StageContext(asked, eileen, standalone_host, job, force=True))
    [begun] = [event for event in told if event["kind"] == "train"]
    crops = {path.stem for path in eileen.image_folder(asked).glob("*.png")}
    assert set(begun["validated"]) < crops and begun["validated"] and begun["precision"] == "no"
    assert [event["epoch"] for event in told if event["kind"] == "validation"] == [0, 1]
    assert made["memory"] == begun["memory"] and "MB at the peak of a step" in made["memory"]
    assert made["budget"].startswith(f"{len(crops) - len(begun['validated'])} samples")
    found = read_lora(eileen.models / "eileen.safetensors").metadata
    assert found["ss_mixed_precision"] == "no" and found["ss_total_batch_size"] == "1"
    again = run_stage(
        "train",
        StageContext(small(**options, training__validation="picture"), eileen, standalone_host),
    )
    assert again["loras"]
