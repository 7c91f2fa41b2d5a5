"""Checkpoints of other kinds in the real WebUI.

Stable Diffusion 2 with v-prediction is trained, inpainting is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_singlelora.lora.files import read_lora
from tests.small_sd2 import LAYERS, build_small_sd2
from tests.webui.conftest import new_workspace
from tests.webui.kinds import build_inpainting
from tests.webui.process import WebUI
from tests.webui.test_whole_job import untouched

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def kinds(webui: WebUI) -> Iterator[WebUI]:
    folder = webui.data / "models" / "Stable-diffusion"
    files = [build_inpainting(folder), build_small_sd2(folder)]
    webui.ask("/sdapi/v1/refresh-checkpoints", {})
    yield webui
    load(webui, "small")
    for path in files:
        path.unlink()
        path.with_suffix(".yaml").unlink()
    webui.ask("/sdapi/v1/refresh-checkpoints", {})


def load(webui: WebUI, name: str) -> None:
    webui.ask("/sdapi/v1/options", {"sd_model_checkpoint": f"{name}.safetensors"})
    assert name in webui.ask("/sdapi/v1/options")["sd_model_checkpoint"]


def test_an_inpainting_checkpoint_is_refused_with_the_reason(kinds: WebUI) -> None:
    load(kinds, "inpainting")
    picture = kinds.picture()
    state = kinds.ask("/probe/state")
    job = kinds.ended(kinds.submit(new_workspace(kinds, "filled")))
    assert job["state"] == "failed"
    assert "9 input channels, expected 4" in job["error"] and "base checkpoint" in job["error"]
    assert kinds.picture() == picture
    untouched(state, kinds.ask("/probe/state"))


def test_stable_diffusion_2_with_v_prediction_trains_and_is_left_as_it_was(kinds: WebUI) -> None:
    load(kinds, "two")
    picture = kinds.picture()
    state = kinds.ask("/probe/state")
    job = kinds.ended(
        kinds.submit(
            new_workspace(kinds, "second", training__epochs=1, training__text_encoder_lr=1e-3)
        )
    )
    assert job["state"] == "done", job["error"]
    assert kinds.picture() == picture
    assert kinds.picture("isabella, girl <lora:second:1>") != picture
    kinds.picture()
    untouched(state, kinds.ask("/probe/state"))
    lora = read_lora(Path(next(iter(job["result"]["loras"]))))
    assert lora.metadata["ss_v2"] == "True" and lora.metadata["modelspec.prediction_type"] == "v"
    # Its q, k and v lie fused in one weight; the last layer is never computed.
    layers = {name.split(".")[3] for name in lora.modules if name.startswith("text_model.")}
    assert layers == {str(layer) for layer in range(LAYERS - 1)}
