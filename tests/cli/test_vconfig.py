"""The word that writes a v-prediction checkpoint's config for the WebUI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lib_singlelora.cli.main import main
from lib_singlelora.errors import CheckpointError
from lib_singlelora.hosts.v_config import predicts_v, with_v_prediction
from tests.small_sdxl import build_small_sdxl, yaml_text


def checkpoint(folder: Path, v: bool) -> Path:
    path = build_small_sdxl(folder, prediction="v_prediction" if v else "epsilon")
    path.with_suffix(".yaml").unlink()
    return path


def test_the_config_is_written_beside_the_file_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path, v=True)
    assert main(["vconfig", str(path), "--json"]) == 0
    written = Path(json.loads(capsys.readouterr().out)["config"])
    assert written == path.with_suffix(".yaml")
    config = yaml.safe_load(written.read_text(encoding="utf-8"))["model"]["params"]
    assert "VScaling" in config["denoiser_config"]["params"]["scaling_config"]["target"]
    assert config["network_config"]["params"]["adm_in_channels"] == 2816
    before = written.read_bytes()
    assert main(["vconfig", str(path)]) == 1
    assert "kept" in capsys.readouterr().err and written.read_bytes() == before


def test_an_epsilon_checkpoint_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path, v=False)
    assert main(["vconfig", str(path)]) == 1
    assert "epsilon" in capsys.readouterr().err and not path.with_suffix(".yaml").exists()


def test_one_that_needs_none_is_told_so_though_a_config_lies_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = build_small_sdxl(tmp_path, prediction="epsilon")
    assert main(["vconfig", str(path)]) == 1
    told = capsys.readouterr().err
    assert "epsilon" in told and "VScaling" not in told


def test_only_the_denoiser_of_a_config_changes() -> None:
    before = yaml.safe_load(yaml_text("epsilon"))
    text = with_v_prediction(yaml_text("epsilon"), "xl.yaml")
    after = yaml.safe_load(text)
    assert predicts_v(text) and not predicts_v(yaml_text("epsilon"))
    denoisers = [each["model"]["params"].pop("denoiser_config") for each in (before, after)]
    assert before == after and denoisers[0] != denoisers[1]


def test_a_config_of_stable_diffusion_1_or_2_gets_its_own_word() -> None:
    text = with_v_prediction("model: {params: {unet_config: {params: {a: 1}}}}", "v1.yaml")
    assert yaml.safe_load(text)["model"]["params"]["parameterization"] == "v"


@pytest.mark.parametrize("text", ["", "[]", "model: 1", "model: {params: {}}", "{", "a: &a [*a]"])
def test_what_is_no_config_is_refused_in_one_line(text: str) -> None:
    assert not predicts_v(text)
    with pytest.raises(CheckpointError, match="no architecture"):
        with_v_prediction(text, "x.yaml")
