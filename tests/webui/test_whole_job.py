"""The job in the real WebUI over HTTP: its results, what it leaves behind, what it refuses."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_singlelora.lora.files import read_lora
from tests.webui.conftest import new_workspace
from tests.webui.process import Refused, WebUI

pytestmark = pytest.mark.timeout(1200)


def untouched(before: Any, after: Any) -> None:
    """Weights, flags, hooks, attention and settings are what they were.

    before: a part of it may be left out, and is then not compared.
    """
    compared = before.keys() - {"loaded"}
    assert {key: before[key] for key in compared} == {key: after[key] for key in compared}


def state_of(webui: WebUI) -> dict[str, Any]:
    """What a training must not change."""
    state: dict[str, Any] = webui.ask("/probe/state")
    if webui.kind == "reforge":
        # Its own pictures with a LoRA leave weights that require no gradient.
        del state["autograd"]
    return state


@pytest.fixture(scope="module")
def trained(webui: WebUI) -> dict[str, Any]:
    """The whole job, run once, and the WebUI's picture and state before it."""
    picture = webui.picture()
    state = state_of(webui)
    name = new_workspace(webui, "isabella")
    job = webui.ended(webui.submit(name))
    assert job["state"] == "done", job["error"]
    return {"name": name, "picture": picture, "state": state, "job": job}


def test_the_whole_job_gives_what_the_contract_names(webui: WebUI, trained: dict[str, Any]) -> None:
    result = trained["job"]["result"]
    keys = "workspace source crops regularization loras sheet page inpainted recommendation seconds"
    assert set(keys.split()) <= result.keys()
    for path in (
        result["source"],
        result["sheet"],
        result["page"],
        *result["crops"],
        *result["loras"],
        *result["inpainted"],
    ):
        assert Path(path).is_file()
    assert Path(result["workspace"]) == webui.data / "outputs" / "singlelora" / "isabella"


def test_the_webui_is_bit_for_bit_what_it_was(webui: WebUI, trained: dict[str, Any]) -> None:
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))


def test_the_lora_works_at_once_by_name_and_leaves_other_prompts_alone(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    with_lora = webui.picture("isabella, girl <lora:isabella:1>")
    assert with_lora != trained["picture"]
    assert webui.picture("isabella, girl <lora:isabella-000001:1>") not in (
        with_lora,
        trained["picture"],
    )
    assert webui.picture() == trained["picture"]


def test_the_files_lie_in_the_lora_folder_with_card_and_thumbnail(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    folder = webui.data / "models" / "Lora" / "singlelora" / "isabella"
    names = {path.name for path in folder.iterdir()}
    for stem in ("isabella", "isabella-000001"):
        assert {f"{stem}.safetensors", f"{stem}.json", f"{stem}.preview.png"} <= names
    assert {"isabella", "isabella-000001"} <= {
        lora["name"] for lora in webui.ask("/sdapi/v1/loras")
    }
    assert len(read_lora(folder / "isabella.safetensors").modules) > 100


def test_a_second_call_does_nothing_again(webui: WebUI, trained: dict[str, Any]) -> None:
    job = webui.ended(webui.submit(trained["name"]))
    assert job["state"] == "done"
    assert sum(job["result"]["seconds"].values()) < 10
    assert job["result"]["loras"] == trained["job"]["result"]["loras"]


def test_a_cancelled_training_leaves_nothing_behind_and_goes_on_exactly(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = new_workspace(webui, "cancelled", training__epochs=6)
    for stage in ("prepare", "crop", "caption"):
        assert webui.ended(webui.submit(name, stage))["state"] == "done"
    whole = webui.data / "outputs" / "singlelora" / "uninterrupted"
    shutil.copytree(webui.data / "outputs" / "singlelora" / name, whole)
    number = webui.submit(name, "train")
    webui.training_step(number, 8)
    assert webui.ask(f"/singlelora/v1/jobs/{number}/cancel", {})["cancelled"]
    assert webui.ended(number)["state"] == "cancelled"
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))
    assert webui.ended(webui.submit(name, "train"))["state"] == "done"
    assert webui.ended(webui.submit("uninterrupted", "train"))["state"] == "done"
    mine, other = (
        webui.data / "outputs" / "singlelora" / n / "model" / "isabella.safetensors"
        for n in (name, "uninterrupted")
    )
    same_weights(mine, other)


def same_weights(mine: Path, other: Path) -> None:
    """Equal bit for bit; the metadata may differ in its times."""
    import safetensors.torch

    first = safetensors.torch.load_file(mine)
    second = safetensors.torch.load_file(other)
    assert first.keys() == second.keys()
    assert all(first[key].equal(second[key]) for key in first)


def test_weights_that_were_packed_for_gradient_checkpointing_come_back(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = webui.prepared(
        new_workspace(
            webui,
            "packed",
            training__gradient_checkpointing=True,
            training__text_encoder_lr=1e-4,
            training__epochs=2,
            regularization__count=0,
        )
    )
    before = webui.ask("/probe/state")
    assert webui.ended(webui.submit(name, "train"))["state"] == "done"
    assert webui.picture() == trained["picture"]
    untouched(before, webui.ask("/probe/state"))
    assert webui.picture(f"isabella, girl <lora:{name}:1>") != trained["picture"]


def test_a_failed_training_leaves_nothing_behind(webui: WebUI, trained: dict[str, Any]) -> None:
    name = new_workspace(
        webui,
        "failing",
        training__unet_lr=1.0,
        training__text_encoder_lr=1.0,
        training__epochs=50,
        training__max_grad_norm=0,
        training__alpha=320,
        training__rank=1,
    )
    for stage in ("prepare", "crop", "caption"):
        webui.ended(webui.submit(name, stage))
    job = webui.ended(webui.submit(name, "train"), timeout=500)
    assert job["state"] == "failed" and "unet_lr" in job["error"]
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))


@pytest.mark.parametrize(("kind", "message"), [("memory", "memory"), ("exception", "the probe's")])
def test_an_error_in_the_middle_leaves_nothing_behind(
    webui: WebUI, trained: dict[str, Any], kind: str, message: str
) -> None:
    name = webui.prepared(new_workspace(webui, f"broken by {kind}"))
    webui.ask(f"/probe/break/{kind}", {})
    job = webui.ended(webui.submit(name, "train"))
    assert job["state"] == "failed" and message in job["error"]
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))
    assert webui.ended(webui.submit(name, "train"))["state"] == "done"


def test_a_lora_that_the_webui_leaves_out_is_an_error(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    webui.picture()  # without a LoRA, so that the next one is read from disk
    webui.ask("/probe/break/lora", {})
    job = webui.ended(webui.submit(trained["name"], "inpaint", **{"inpaint.seed": 99}))
    assert (
        job["state"] == "failed"
        and "isabella" in job["error"]
        and "drew without it" in job["error"]
    )
    job = webui.ended(webui.submit(trained["name"], "inpaint", **{"inpaint.seed": 1}))
    assert job["state"] == "done", job["error"]
    assert webui.picture() == trained["picture"]


def test_progress_and_live_previews_are_shown_and_skip_puts_a_picture_aside(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = new_workspace(webui, "skipped", regularization__count=3, regularization__steps=60)
    number = webui.submit(name)

    def live_preview() -> Any:
        state = webui.ask("/sdapi/v1/progress")
        drawing = webui.job(number)["stage"] == "regularize" and state["state"]["sampling_step"] > 5
        return drawing and state["current_image"] and state

    state = webui.wait_for(live_preview, 120, "a live preview")
    webui.ask("/sdapi/v1/skip", {})
    assert (
        state["state"]["job"] == "Single LoRA: skipped: run" and "regularize" in state["textinfo"]
    )
    assert 0 < state["progress"] < 1
    webui.wait_for(
        lambda: webui.ask(f"/singlelora/v1/workspaces/{name}")["rejected"],
        60,
        "the skipped picture",
    )
    webui.ask(f"/singlelora/v1/jobs/{number}/cancel", {})
    assert webui.ended(number)["state"] == "cancelled"
    # As in the WebUI's own batches, what is drawn together is skipped together
    rejected = webui.ask(f"/singlelora/v1/workspaces/{name}")["rejected"].values()
    assert 1 <= len(rejected) <= 3
    assert all(reasons == ["skipped before it was finished"] for reasons in rejected)
    assert webui.picture() == trained["picture"]


def test_the_webuis_interrupt_stops_training_and_drawing(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = new_workspace(
        webui,
        "interrupted",
        training__epochs=300,
        regularization__count=60,
        regularization__steps=20,
    )
    number = webui.submit(name)
    webui.wait_for(
        lambda: webui.job(number)["stage"] == "regularize" and webui.job(number)["done"] >= 1,
        120,
        "a picture",
    )
    webui.ask("/sdapi/v1/interrupt", {})
    assert webui.ended(number, 30)["state"] == "cancelled"
    webui.ask(f"/singlelora/v1/workspaces/{name}", {"regularization.count": 0}, "PATCH")
    number = webui.submit(name, "train")
    webui.training_step(number, 3)
    webui.ask("/sdapi/v1/interrupt", {})
    assert webui.ended(number, 30)["state"] == "cancelled"
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))


def test_a_lora_of_the_last_prompt_is_not_trained_into_the_new_one(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    """The prompt's LoRA is merged into the weights when training starts, and is taken out first."""
    names = []
    for name, prompt in (("after lora", "isabella <lora:isabella:1>"), ("after none", "isabella")):
        new_workspace(webui, name, training__epochs=1)
        for stage in ("prepare", "crop", "caption"):
            webui.ended(webui.submit(name, stage))
        webui.picture(prompt)
        assert webui.ended(webui.submit(name, "train"))["state"] == "done"
        names.append(
            webui.data / "outputs" / "singlelora" / name / "model" / "isabella.safetensors"
        )
    same_weights(*names)
    assert webui.picture() == trained["picture"]


def test_two_workspaces_of_one_trigger_have_files_of_different_names(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    lora = webui.data / "models" / "Lora"
    stems = [path.stem for path in lora.glob("**/*.safetensors") if ".baked" not in path.parts]
    assert len(stems) == len(set(stems)) and {"isabella", "after_lora", "after_none"} <= set(stems)


def test_jobs_queue_behind_one_another_and_behind_a_generation(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    import threading

    drawing = threading.Thread(target=lambda: webui.picture(steps=60))
    drawing.start()
    time.sleep(0.3)
    first = webui.submit(trained["name"], "plot")
    second = webui.submit(trained["name"], "inpaint")
    assert webui.ended(first)["state"] == "done" and webui.ended(second)["state"] == "done"
    drawing.join()
    third = webui.submit("cancelled", "plot")
    fourth = webui.submit("cancelled", "inpaint")
    assert webui.ask(f"/singlelora/v1/jobs/{fourth}/cancel", {})["cancelled"]
    assert webui.ended(fourth)["state"] == "cancelled"
    assert webui.ended(third)["state"] == "done"


def read(path: str | Path) -> tuple[dict[Any, Any], Any]:
    """(texts, pixels as whole numbers) of a picture."""
    with Image.open(path) as opened:
        return dict(opened.info), np.asarray(opened.convert("RGB"), int)


def test_a_sheet_of_two_checkpoints_leaves_the_loaded_one(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    settings = {
        "plot.checkpoints": "small,z other",
        "plot.x": "checkpoint",
        "plot.y": "strength",
        "plot.presets": "ALL",
        "plot.epochs": "2",
    }
    job = webui.ended(webui.submit(trained["name"], "plot", **settings))
    assert job["state"] == "done", job["error"]
    cells = {
        str(read(path)[0]["parameters"]).rpartition("Model: ")[2].split(",")[0]
        for path in (Path(job["result"]["sheet"]).parent / "cells").glob("*.png")
    }
    assert {"small", "z other"} <= cells
    refused = webui.ended(
        webui.submit(trained["name"], "plot", **{"plot.checkpoints": "nobody at all"})
    )
    assert (
        refused["state"] == "failed" and "found no such checkpoint in the WebUI" in refused["error"]
    )
    webui.ask(
        f"/singlelora/v1/workspaces/{trained['name']}",
        {
            "plot.checkpoints": "",
            "plot.x": "strength",
            "plot.y": "epoch",
            "plot.presets": "ALL,OUTD",
            "plot.epochs": "all",
        },
        "PATCH",
    )
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))


@pytest.mark.parametrize(
    "settings",
    [
        {"inpaint.area": "only masked", "inpaint.fill": "fill"},
        {"inpaint.area": "automatic", "inpaint.parts": "head,feet"},
        {"inpaint.fill": "latent nothing"},
        {"inpaint.redraw": "whole picture", "inpaint.preset": "OUTD", "inpaint.lora": "1"},
    ],
)
def test_inpainting_takes_every_way(
    webui: WebUI, trained: dict[str, Any], settings: dict[str, str]
) -> None:
    plain = {
        "inpaint.area": "whole picture",
        "inpaint.fill": "original",
        "inpaint.redraw": "masked part",
        "inpaint.preset": "ALL",
        "inpaint.lora": "",
        "inpaint.parts": "",
    }
    job = webui.ended(webui.submit(trained["name"], "inpaint", **{**plain, **settings}))
    assert job["state"] == "done", job["error"]
    inpainted = read(job["result"]["inpainted"][0])[1]
    source = read(trained["job"]["result"]["source"])[1]
    if settings.get("inpaint.area") in ("only masked", "automatic"):
        with Image.open(job["result"]["inpaint_mask"]) as hole:
            # The mask's blur is of 4 pixels where a picture of 64 is drawn, and as much wider as
            # its part is larger: head and feet lie in one of nearly the whole picture
            near = np.asarray(hole.convert("L").filter(ImageFilter.GaussianBlur(64)))
        assert inpainted.shape == source.shape
        changed = np.abs(inpainted - source).max(axis=2)
        assert changed[near == 0].max() == 0 and changed.max() > 20
    if settings.get("inpaint.parts"):
        assert len(job["result"]["inpainted"]) == len(job["result"]["inpaint_strips"]) == 2
    assert webui.picture() == trained["picture"]


def test_an_inpainted_picture_becomes_the_next_version(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = trained["name"]
    root = Path(trained["job"]["result"]["workspace"])
    drawn = Path(trained["job"]["result"]["inpainted"][0]).relative_to(root).as_posix()
    kept = webui.ask(f"/singlelora/v1/workspaces/{name}/accepted", {"pictures": [drawn]})[
        "accepted"
    ]
    job = webui.ended(
        webui.ask(
            f"/singlelora/v1/workspaces/{name}/versions", {"picture": kept[0], "start": "last"}
        )["id"]
    )
    assert job["state"] == "done", job["error"]
    version = webui.ask(f"/singlelora/v1/workspaces/{name}-v2")
    assert version["version"] == 2 and version["generated"] and version["crops"]
    trained_on = webui.ended(webui.submit(f"{name}-v2", "train"))
    assert trained_on["state"] == "done", trained_on["error"]
    assert webui.picture("isabella, girl <lora:isabella-v2:1>") != trained["picture"]
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))


def test_the_checkpoint_cannot_be_switched_while_a_job_runs(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = new_workspace(webui, "switching", training__epochs=300, regularization__count=0)
    number = webui.submit(name)
    webui.training_step(number, 2)
    before = webui.ask("/sdapi/v1/options")["sd_model_checkpoint"]
    webui.ask("/sdapi/v1/options", {"sd_model_checkpoint": "z other.safetensors"})
    assert webui.ask("/sdapi/v1/options")["sd_model_checkpoint"] == before
    webui.ask(f"/singlelora/v1/jobs/{number}/cancel", {})
    webui.ended(number)
    webui.ask("/sdapi/v1/options", {"sd_model_checkpoint": "z other.safetensors"})
    assert "other" in webui.ask("/sdapi/v1/options")["sd_model_checkpoint"]
    webui.ask("/sdapi/v1/options", {"sd_model_checkpoint": "small.safetensors"})
    assert webui.picture() == trained["picture"]


def test_a_workspace_deleted_under_a_running_job_is_an_error(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    name = new_workspace(webui, "deleted", training__epochs=300, regularization__count=0)
    number = webui.submit(name)
    webui.training_step(number, 2)
    folder = webui.data / "outputs" / "singlelora" / name
    while folder.exists():  # the job may write while its folder goes
        shutil.rmtree(folder, ignore_errors=True)
    job = webui.ended(number, 60)
    assert job["state"] == "failed" and "deleted while" in job["error"]
    assert webui.picture() == trained["picture"]
    untouched(trained["state"], webui.ask("/probe/state"))


def test_a_lora_folder_that_cannot_be_written_is_an_error(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    folder = webui.data / "models" / "Lora" / "singlelora"
    aside = folder.with_name("aside")
    folder.rename(aside)
    try:
        folder.write_text("a file in the way")  # permissions do not stop an administrator
        name = new_workspace(webui, "no folder", training__epochs=1, regularization__count=0)
        job = webui.ended(webui.submit(name))
        assert (
            job["state"] == "failed"
            and "cannot be written" in job["error"]
            and "singlelora" in job["error"]
        )
    finally:
        folder.unlink()
        aside.rename(folder)
    assert webui.picture() == trained["picture"]


def test_no_checkpoint_loaded_is_an_error(webui: WebUI, trained: dict[str, Any]) -> None:
    if webui.kind != "webui":
        pytest.skip(f"{webui.kind} has a job load the chosen checkpoint")
    name = new_workspace(webui, "unloaded")
    webui.ask("/probe/unload", {})
    try:
        job = webui.ended(webui.submit(name))
    finally:
        webui.ask("/probe/load", {})
    assert job["state"] == "failed" and "no checkpoint loaded" in job["error"]
    assert webui.picture() == trained["picture"]


def test_a_checkpoint_that_left_memory_is_loaded_anew(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    if webui.kind == "webui":
        pytest.skip("its jobs take the checkpoint in memory")
    name = webui.prepared(new_workspace(webui, "loaded", training__epochs=1))
    webui.ask("/probe/unload", {})
    assert webui.ask("/singlelora/v1/workspaces/loaded")["stages"]
    job = webui.ended(webui.submit(name, "train"))
    assert job["state"] == "done", job["error"]
    assert webui.picture() == trained["picture"]


def test_the_api_gives_no_file_outside_the_workspaces(
    webui: WebUI, trained: dict[str, Any]
) -> None:
    listed = webui.ask("/singlelora/v1/workspaces/isabella/files")
    assert "settings.json" in listed and not any("snapshot" in path for path in listed)
    for path in (
        "../../../config.json",
        "%2e%2e/%2e%2e/%2e%2e/config.json",
        "/etc/passwd",
        "model/snapshot/state.pt",
    ):
        with pytest.raises(Refused) as refused:
            webui.ask(f"/singlelora/v1/workspaces/isabella/files/{path}")
        assert refused.value.status in (404, 422)
    with pytest.raises(Refused, match="lies outside"):
        webui.ask(
            "/singlelora/v1/workspaces/isabella", {"regularization.wildcards": "/etc"}, "PATCH"
        )
    with pytest.raises(Refused) as refused:
        webui.ask("/singlelora/v1/workspaces/..%2Fsinglelora")
    assert refused.value.status == 404
    assert any(path.startswith("/singlelora/v1/") for path in webui.ask("/openapi.json")["paths"])
