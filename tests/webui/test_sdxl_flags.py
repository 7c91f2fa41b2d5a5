"""SDXL under the WebUI's flags for little memory: each part comes for its own work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.small_sdxl import build_small_sdxl
from tests.webui.conftest import new_workspace
from tests.webui.process import WebUI
from tests.webui.test_flags import started
from tests.webui.test_sdxl import BOTH_TEXTS, ENOUGH
from tests.webui.test_whole_job import untouched

pytestmark = pytest.mark.timeout(1200)
FLAGS = {"medvram": ("--medvram-sdxl", "--no-half-vae"), "lowvram": ("--lowvram",)}


@pytest.fixture(scope="module", params=sorted(FLAGS))
def lean(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[WebUI]:
    data = tmp_path_factory.mktemp(f"wide {request.param}")
    build_small_sdxl(data / "models" / "Stable-diffusion")
    options = {
        # Its preview of SDXL would be fetched from a network.
        "live_previews_enable": False,
        "sd_model_checkpoint": "xl.safetensors",
        "token_merging_ratio": 0.5,
        "hypertile_enable_unet": True,
    }
    running = started(data, *FLAGS[request.param], options=options)
    yield running
    running.kill()


def test_the_whole_job_leaves_the_webui_as_it_was(lean: WebUI) -> None:
    state = lean.ask("/probe/state")
    picture = lean.picture(width=128, height=128)
    patches = lean.ask("/probe/patches")
    assert patches["lowvram"]
    job = lean.ended(lean.submit(new_workspace(lean, "wide", **BOTH_TEXTS)), ENOUGH)
    assert job["state"] == "done", job["error"]
    assert lean.picture(width=128, height=128) == picture
    assert lean.picture("isabella <lora:wide:1>", width=128, height=128) != picture
    lean.picture(width=128, height=128)
    untouched(state, lean.ask("/probe/state"))
    assert lean.ask("/probe/patches") == patches
