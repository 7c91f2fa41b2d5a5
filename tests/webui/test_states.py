"""States that Forge and reForge may be in when a job comes: no checkpoint, one that cannot be
trained, weights stored in fp8, networks half swapped out.

Each refusal is one line, and the program goes on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests.small_checkpoint import build_small_checkpoint
from tests.small_sdxl import tensors
from tests.webui.conftest import link_of, new_workspace
from tests.webui.process import PROBE, WebUI, kind_of, python_of_webui
from tests.webui.test_kinds import load
from tests.webui.test_whole_job import same_weights, state_of, untouched

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        kind_of(Path(os.environ.get("SD_WEBUI_DIR", "."))) == "webui",
        reason="test_flags and test_kinds have the WebUI's",
    ),
]
UNET = "model.diffusion_model."
QUICK = {"training__epochs": 1, "regularization__count": 0}


def flux() -> dict[str, Tensor]:
    return {
        f"{UNET}double_blocks.{n}.img_attn.norm.key_norm.scale": torch.ones(8) for n in range(9)
    }


def sd3() -> dict[str, Tensor]:
    return {
        f"{UNET}joint_blocks.{n}.context_block.attn.qkv.weight": torch.ones(8, 8) for n in range(9)
    }


def distilled() -> dict[str, Tensor]:
    """SSD-1B's mark: no attention in the middle."""
    middle = f"{UNET}middle_block."
    kept = {key: value for key, value in tensors(3).items() if not key.startswith(f"{middle}1.")}
    return {key.replace(f"{middle}2.", f"{middle}1."): value for key, value in kept.items()}


def edm() -> dict[str, Tensor]:
    """Playground 2.5's marks."""
    return {**tensors(4), "edm_mean": torch.zeros(4), "edm_std": torch.ones(4)}


def edm_v() -> dict[str, Tensor]:
    """The marks of an SDXL that predicts v over a continuous schedule."""
    sigmas = {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.02)}
    return {**tensors(5), **sigmas}


@pytest.fixture(scope="module")
def before(webui: WebUI) -> dict[str, Any]:
    """A workspace that is ready to train, and the program's picture and state before."""
    name = webui.prepared(new_workspace(webui, "state", **QUICK))
    return {"name": name, "picture": webui.picture(), "state": state_of(webui)}


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (flux, ["Flux"]),
        (sd3, ["Stable Diffusion 3"]),
        (distilled, ["distilled"]),
        (edm, ["EDM", "could not load it"]),
        (edm_v, ["EDM", "could not load it"]),
        (None, ["could not load it", "gone"]),
    ],
)
def test_a_checkpoint_that_cannot_be_trained_is_one_line_and_the_program_goes_on(
    webui: WebUI, before: dict[str, Any], build: Any, words: list[str]
) -> None:
    """Without a builder a file that was not downloaded to its end; Forge moves that away."""
    name = build.__name__ if build else "torn"
    path = webui.data / "models" / "Stable-diffusion" / f"{name}.safetensors"
    if build:
        half = {key: value.half().contiguous() for key, value in build().items()}
        safetensors.torch.save_file(half, path, {"native_size": "64"})
    else:
        whole = (path.parent / "small.safetensors").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    webui.ask("/sdapi/v1/refresh-checkpoints", {})
    try:
        load(webui, name)
        for stage in ("train", "regularize"):
            job = webui.ended(webui.submit(before["name"], stage, **{"regularization.count": 1}))
            assert job["state"] == "failed", job
            assert name in job["error"] and any(word in job["error"] for word in words), job
            assert "\n" not in job["error"], job
        assert webui.ask("/singlelora/v1/host")["title"]
    finally:
        load(webui, "small")
        path.unlink(missing_ok=True)
        webui.ask("/sdapi/v1/refresh-checkpoints", {})
    assert webui.picture() == before["picture"]
    untouched(before["state"], webui.ask("/probe/state"))


def test_networks_that_are_half_swapped_out_are_trained_whole(
    webui: WebUI, before: dict[str, Any]
) -> None:
    """As with little memory: the program casts and moves weights in the middle of a pass."""
    folder = webui.data / "outputs" / "singlelora"
    shutil.copytree(folder / "state", folder / "swapped")
    assert webui.ended(webui.submit("state", "train"))["state"] == "done"
    assert webui.picture() == before["picture"]
    assert webui.ask("/probe/swap", {})["swapped"] > 10
    job = webui.ended(webui.submit("swapped", "train"))
    assert job["state"] == "done", job["error"]
    same_weights(
        *(folder / name / "model" / "isabella.safetensors" for name in ("state", "swapped"))
    )
    assert webui.picture() == before["picture"]
    untouched(before["state"], webui.ask("/probe/state"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """The program without any checkpoint, that stores weights in fp8."""
    data = tmp_path_factory.mktemp("bare")
    checkpoints = data / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True)
    build_small_checkpoint(checkpoints, dtype=torch.float16)
    (checkpoints / "small.safetensors").rename(data / "small.safetensors")
    (data / "config.json").write_text('{"show_progress_type": "Approx cheap"}', encoding="utf-8")
    process = WebUI(
        Path(os.environ["SD_WEBUI_DIR"]), python_of_webui(), data, ("--unet-in-fp8-e4m3fn",)
    )
    process.extend(link_of(tmp_path_factory.mktemp("extension")), PROBE)
    process.start()
    yield process
    process.kill()


def test_without_any_checkpoint_a_job_is_one_line_and_the_next_has_one(bare: WebUI) -> None:
    new_workspace(bare, "first", **QUICK)
    for stage in ("run", "regularize"):
        job = bare.ended(bare.submit("first", stage, **{"regularization.count": 1}))
        assert job["state"] == "failed" and "no checkpoint" in job["error"], job
        assert "\n" not in job["error"], job
    checkpoints = bare.data / "models" / "Stable-diffusion"
    (bare.data / "small.safetensors").rename(checkpoints / "small.safetensors")
    bare.ask("/sdapi/v1/refresh-checkpoints", {})
    load(bare, "small")
    # Nothing was drawn yet: the job loads it
    bare.prepared("first")
    job = bare.ended(bare.submit("first", "train", **{"regularization.count": 0}))
    assert job["state"] == "done", job["error"]


def test_weights_that_are_stored_in_fp8_are_trained_and_come_back(bare: WebUI) -> None:
    picture = bare.picture()
    state = state_of(bare)
    assert "torch.float8_e4m3fn" in state["dtypes"]
    bare.prepared(new_workspace(bare, "second", training__text_encoder_lr=1e-3, **QUICK))
    job = bare.ended(bare.submit("second", "train"))
    assert job["state"] == "done", job["error"]
    assert bare.picture() == picture
    untouched(state, bare.ask("/probe/state"))
    assert bare.picture("isabella, girl <lora:second:1>") != picture
    assert bare.picture() == picture
