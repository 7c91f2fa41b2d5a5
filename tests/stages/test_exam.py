"""The inpaint exam on the small checkpoint: its pictures, figures, files, and repeated calls."""

import json

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.errors import LoraFileError, SettingsError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.exam import ExamOptions, ExamResult, exam, plan_exam
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

QUICK = {"parts": ("head", "torso"), "seeds": 2, "poses": ("sitting",), "denoises": (0.5,)}


@pytest.fixture
def standing(eileen: Workspace) -> Workspace:
    """The workspace with a figure cut out: the photograph has none as a whole."""
    with Image.open(eileen.prepared) as picture:
        size = picture.size
    mask = Image.new("L", size)
    mask.paste(255, (90, 10, 160, 90))
    mask.paste(255, (60, 90, 190, 250))
    mask.save(eileen.mask)
    return eileen


def examine(
    workspace: Workspace, host: StandaloneHost, job: Job | None = None, **values: object
) -> ExamResult:
    context = StageContext(small(), workspace, host, job or Job())
    return exam(context, ExamOptions(**{**QUICK, **values}))  # type: ignore[arg-type]


def test_each_part_is_drawn_with_and_without_the_lora(
    standing: Workspace, standalone_host: StandaloneHost
) -> None:
    result = examine(standing, standalone_host)
    values = result.as_dict()["exam"]
    assert [part["part"] for part in values["parts"]] == ["head", "torso"]
    for part in values["parts"]:
        assert len(part["lora"]) == len(part["alone"]) == 2
        assert all(0 <= value <= 1 for value in (*part["lora"], *part["alone"]))
        assert part["lora"] != part["alone"]
        gains = [a - b for a, b in zip(part["lora"], part["alone"], strict=True)]
        assert part["gain"]["mean"] == pytest.approx(np.mean(gains), abs=1e-3)
        assert part["nearer"] == (np.mean(gains) > 0)
    assert [pose["pose"] for pose in values["poses"]] == ["sitting"]
    assert json.loads(result.scores.read_text(encoding="utf-8"))["parts"] == values["parts"]
    with Image.open(result.sheet) as sheet:
        assert sheet.width > 300


def test_a_second_call_draws_nothing_and_another_file_only_its_own(
    standing: Workspace, standalone_host: StandaloneHost
) -> None:
    first = examine(standing, standalone_host)
    drawn: list[Progress] = []
    assert examine(standing, standalone_host, Job("exam", drawn.append)).values == first.values
    assert not drawn
    context = StageContext(small(), standing, standalone_host)
    told = plan_exam(context, ExamOptions(**{**QUICK, "lora": "1"}))  # type: ignore[arg-type]
    assert told["missing"] == 2 * 2 + 1 and told["pictures"] == 2 * 2 * 2 + 1 + 1
    other = examine(standing, standalone_host, lora="1")
    assert other.values["lora"] == "eileen-000001.safetensors"
    for one, two in zip(first.values["parts"], other.values["parts"], strict=True):
        assert one["alone"] == two["alone"] and one["lora"] != two["lora"]


def test_a_part_that_is_not_there_and_a_missing_file_are_told(
    standing: Workspace, standalone_host: StandaloneHost
) -> None:
    with pytest.raises(SettingsError, match="found 'wings', expected some of head"):
        examine(standing, standalone_host, parts=("wings",))
    with pytest.raises(SettingsError, match="--seeds"):
        examine(standing, standalone_host, seeds=0)
    with pytest.raises(LoraFileError):
        examine(standing, standalone_host, lora="9")
    assert not (standing.plots / "exam.png").exists()
