"""The command line on a small SDXL that predicts v: the whole job, and the exam."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_singlelora.cli.main import main
from lib_singlelora.lora.files import read_lora
from tests.small_sdxl import build_small_sdxl
from tests.stages.conftest import PHOTOGRAPH, SMALL

pytest.importorskip("diffusers")

SETTINGS = {
    **SMALL,
    "prepare.long_side": 128,
    "crop.views": "portrait",
    "crop.details": 0,
    "regularization.count": 1,
    "regularization.steps": 1,
    "regularization.filter": False,
    "training.epochs": 1,
    "training.repeats": 1,
    "training.text_encoder_lr": 1e-4,
    "training.gradient_checkpointing": False,
    "training.auto_checkpointing": False,
    "plot.epochs": "1",
}


def called(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    status = main([*words, "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return dict(json.loads(printed.out))


def test_the_whole_job_and_the_exam_on_sdxl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = build_small_sdxl(tmp_path, "noobai v", "v_prediction")
    picture = tmp_path / "small.png"
    with Image.open(PHOTOGRAPH) as image:
        image.resize((128, 128)).save(picture)
    values = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    folder = str(tmp_path / "eileen")
    result = called(
        capsys,
        *("run", str(picture), "--workspace", folder, "--checkpoint", str(checkpoint)),
        *("--trigger", "eileen", "--class-token", "woman", *values),
    )
    for path in (result["sheet"], result["page"], *result["loras"], *result["inpainted"]):
        assert Path(path).is_file()
    lora = read_lora(Path(result["loras"][0]))
    assert lora.layout.name == "sdxl"
    assert lora.metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert lora.metadata["modelspec.prediction_type"] == "v"
    assert {name[:4] for name in lora.modules if name.startswith("te")} == {"te1.", "te2."}
    with Image.open(result["inpainted"][0]) as drawn:
        # The tags that NoobAI's v-prediction understands, by the checkpoint's name
        assert "very awa" in drawn.info["parameters"]
    again = called(capsys, "train", "--workspace", folder)
    assert again["loras"] == result["loras"]
    words = ("--parts", "head", "--poses", "", "--denoises", "0.5", "--seeds", "1")
    exam = called(capsys, "exam", "--workspace", folder, *words)["exam"]
    assert [each["part"] for each in exam["parts"]] == ["head"]
    assert Path(exam["sheet"]).is_file()
