"""The tab in the real WebUI in a browser, "Reload UI", and a WebUI that is killed."""

from __future__ import annotations

import base64
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.host import ImageRequest
from lib_singlelora.jobs import Job
from tests.browser import needs_chromium
from tests.webui.conftest import new_workspace
from tests.webui.process import ROOT, WebUI, visit
from tests.webui.test_whole_job import same_weights

pytestmark = pytest.mark.timeout(1200)
DRAWING = "1girl, solo, upper body, blonde hair, long hair, white hat, black dress, smile, outdoors"
SAMPLERS = {"Euler": ("Euler", "Automatic"), "DPM++ 2M Karras": ("DPM++ 2M", "Karras")}


def choose(page: Any, selector: str, value: str) -> None:
    """A value of a gradio dropdown."""
    option = page.locator(f"{selector} ul li", has_text=value).first
    for _ in range(10):  # a list that is open does not take the choices that arrive meanwhile
        page.locator(f"{selector} input").first.click()
        page.wait_for_timeout(1000)
        if option.is_visible():
            break
        page.keyboard.press("Escape")
        page.locator(f"{selector} input").first.blur()
    option.click()


def number(page: Any, setting: str, value: str) -> None:
    page.locator(f"#singlelora_{setting} input, #singlelora_{setting} textarea").first.fill(value)


def our_problems(page: Any) -> list[str]:
    """The page's problems that are ours.

    Without what the WebUI itself asks of a network that is not there, and what its script makes of
    Escape in other tabs.
    """
    return [
        text
        for text in page.problems
        if "ERR_NAME_NOT_RESOLVED" not in text
        and "ERR_INTERNET" not in text
        and "Failed to load resource" not in text
        and not ("reading 'style'" in text and "file=script.js" in text)
    ]


@needs_chromium
def test_a_user_goes_all_the_way(webui: WebUI, page: Any) -> None:
    page.locator("#singlelora_picture input[type=file]").set_input_files(
        ROOT / "examples" / "isabella.png"
    )
    page.locator("#singlelora_picture img").wait_for()
    page.locator("#singlelora_trigger textarea, #singlelora_trigger input").first.fill("browser")
    values = {
        "prepare": {"prepare_long_side": "512"},
        "regularize": {"regularization_count": "2", "regularization_steps": "3"},
        "train": {"training_epochs": "3", "training_repeats": "2", "training_rank": "4"},
        "plot": {"plot_steps": "3", "plot_strengths": "1"},
        "inpaint": {"inpaint_count": "1", "inpaint_steps": "3"},
    }
    for stage, fields in values.items():
        page.locator(f"#singlelora_{stage} .label-wrap").first.click()
        for name, value in fields.items():
            number(page, name, value)
    page.locator("#singlelora_run").click()
    job = page.locator("#singlelora_job").first
    job.locator(".singlelora-bar").wait_for()
    visit(webui, page)  # the browser is reloaded in the middle
    job.get_by_text("browser: run").wait_for()
    job.get_by_text("browser: run: done").wait_for(timeout=300_000)
    page.locator("#singlelora_sheet img").wait_for()
    page.locator("#singlelora_results .singlelora-take").wait_for()
    assert (
        page.locator("#singlelora_trigger textarea, #singlelora_trigger input").first.input_value()
        == "browser"
    )
    assert page.locator("#singlelora_training_epochs input").first.input_value() == "3"
    if folder := os.environ.get("SD_WEBUI_SHOTS"):
        page.screenshot(path=Path(folder) / "tab.png", full_page=True)
    page.locator("#singlelora_send_txt2img").click()
    prompt = page.locator("#txt2img_prompt textarea")
    prompt.wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#txt2img_prompt textarea').value.includes('<lora:browser')"
    )
    assert our_problems(page) == []


@needs_chromium
def test_a_second_browser_sees_the_job_and_may_cancel_it(webui: WebUI, page: Any) -> None:
    new_workspace(webui, "watched", training__epochs=300, regularization__count=0)
    visit(webui, page)  # a page offers the workspaces that were there when it was opened
    choose(page, "#singlelora_workspace", "watched")
    page.wait_for_function(
        "document.querySelector('#singlelora_training_epochs input').value === '300'"
    )
    page.locator("#singlelora_run").click()
    page.locator("#singlelora_job .singlelora-bar").wait_for()
    other = page.context.browser.new_context().new_page()
    other.set_default_timeout(60_000)
    visit(webui, other)
    other.locator("#singlelora_job").get_by_text("watched: run").wait_for()
    other.locator("#singlelora_job").get_by_text("epoch").first.wait_for(timeout=120_000)
    other.locator("#singlelora_cancel").click()
    for browser_page in (page, other):
        browser_page.locator("#singlelora_job").first.get_by_text(
            "watched: run: cancelled"
        ).wait_for()
    other.close()
    assert our_problems(page) == []


@needs_chromium
def test_a_checkpoint_that_cannot_be_switched_now_stays_with_a_warning(
    webui: WebUI, page: Any
) -> None:
    job = webui.submit(webui.prepared(new_workspace(webui, "busy", training__epochs=300)), "train")
    webui.training_step(job, 2)
    choose(page, "#setting_sd_model_checkpoint", "z other")
    page.locator(
        ".toast-body", has_text="'busy: train' is running on this checkpoint"
    ).first.wait_for()
    page.wait_for_function(
        "document.querySelector('#setting_sd_model_checkpoint input').value.startsWith('small')"
    )
    webui.ask(f"/singlelora/v1/jobs/{job}/cancel", {})
    assert webui.ended(job)["state"] == "cancelled"


@needs_chromium
def test_an_error_is_shown_on_the_page(webui: WebUI, page: Any) -> None:
    page.locator("#singlelora_workspace input").first.click()
    page.locator("#singlelora_workspace ul li", has_text="(new character)").first.click()
    page.locator("#singlelora_run").click()
    page.locator("#singlelora_note", has_text="found no picture").first.wait_for()


@needs_chromium
def test_a_result_goes_to_inpaint_with_picture_and_mask(webui: WebUI, page: Any) -> None:
    choose(page, "#singlelora_workspace", "browser")
    page.locator("#singlelora_results .singlelora-take").wait_for()
    page.locator("#singlelora_send_inpaint").scroll_into_view_if_needed()
    page.get_by_role("button", name="Send to inpaint").click()
    page.locator("#img_inpaint_base img").wait_for(state="visible")
    page.locator("#img_inpaint_mask img").wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#img2img_prompt textarea').value.includes('<lora:browser')"
    )


@needs_chromium
def test_a_result_goes_to_img2img_with_its_picture(webui: WebUI, page: Any) -> None:
    choose(page, "#singlelora_workspace", "browser")
    page.locator("#singlelora_send_img2img").click()
    page.locator("#img2img_image img").wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#img2img_prompt textarea').value.includes('<lora:browser')"
    )


@needs_chromium
def test_an_inpainted_picture_is_kept_and_looped_back_on_the_page(webui: WebUI, page: Any) -> None:
    choose(page, "#singlelora_workspace", "browser")
    page.locator("#singlelora_keep").wait_for()
    page.locator("#singlelora_plot .label-wrap").first.click()
    page.locator("#singlelora_show_presets").click()
    page.locator("#singlelora_presets img").wait_for()
    page.locator("#singlelora_inpaint .label-wrap").first.click()
    page.locator("#singlelora_suggest").click()
    page.wait_for_function(
        "document.querySelector('#singlelora_inpaint_prompt textarea, #singlelora_inpaint_prompt"
        " input').value.startsWith('browser, girl, solo')"
    )
    page.locator("#singlelora_inpainted button img").first.click()
    page.locator("#singlelora_keep").click()
    page.locator("#singlelora_note", has_text="inpaint/accepted/").first.wait_for()
    page.locator("#singlelora_again").click()
    page.locator("#singlelora_job").first.get_by_text("browser: loopback: done").wait_for(
        timeout=120_000
    )
    assert webui.ask("/singlelora/v1/workspaces/browser-v2")["generated"]
    if folder := os.environ.get("SD_WEBUI_SHOTS"):
        page.screenshot(path=Path(folder) / "loopback.png", full_page=True)
    assert our_problems(page) == []


@needs_chromium
def test_new_files_stand_in_the_extra_networks_tab(webui: WebUI, page: Any) -> None:
    page.locator("#tabs > .tab-nav button", has_text="txt2img").click()
    page.locator("#txt2img_extra_tabs > .tab-nav button", has_text="Lora").click()
    card = page.locator("#txt2img_lora_cards .card", has_text="browser").first
    card.wait_for()
    assert "browser, girl" in (card.inner_text() + (card.get_attribute("onclick") or ""))
    assert card.locator(".description").inner_text().strip()
    assert "url(" in (card.get_attribute("style") or "") or card.locator("img.preview").count()


@needs_chromium
@pytest.mark.skipif(not CHECKPOINT.exists(), reason="needs the embedded checkpoint")
def test_the_embedded_checkpoint_is_added_and_draws_what_it_draws_standalone(
    webui: WebUI, page: Any
) -> None:
    page.locator("#singlelora_embedded").click()
    page.locator("#singlelora_note", has_text="lies in").first.wait_for()
    webui.ask("/sdapi/v1/refresh-checkpoints", {})
    webui.ask("/sdapi/v1/options", {"sd_model_checkpoint": "singlelora.safetensors"})
    try:
        drawn = {
            sampler: webui.picture(
                DRAWING,
                seed=7,
                steps=20,
                width=128,
                height=128,
                sampler_name=name,
                scheduler=schedule,
            )
            for sampler, (name, schedule) in SAMPLERS.items()
        }
    finally:
        webui.ask("/sdapi/v1/options", {"sd_model_checkpoint": "small.safetensors"})
    pytest.importorskip("diffusers")
    from lib_singlelora.hosts.standalone.host import StandaloneHost

    host = StandaloneHost(CHECKPOINT)
    for sampler, encoded in drawn.items():
        theirs = np.asarray(
            Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"), np.float32
        )
        request = ImageRequest(DRAWING, (7,), 128, 128, sampler=sampler, steps=20, cfg_scale=7)
        ours = np.asarray(host.generate(request, Job("draw"))[0].image, np.float32)
        if folder := os.environ.get("SD_WEBUI_SHOTS"):
            both = np.concatenate([theirs, ours], axis=1).astype(np.uint8)
            Image.fromarray(both).save(Path(folder) / f"embedded {sampler}.png")
        assert np.abs(theirs - ours).mean() < 6, sampler


def test_reload_ui_doubles_nothing(webui: WebUI) -> None:
    before = webui.ask("/probe/page")
    starts = webui.log.read_text(errors="replace").count("Startup time")
    webui.ask("/probe/reload", {})
    # A request in the middle of the WebUI's start makes it fail ("Cannot add middleware"), with or
    # without us.
    webui.wait_for(
        lambda: webui.log.read_text(errors="replace").count("Startup time") > starts,
        120,
        "the page to come back",
    )
    webui.wait_for(webui.ready, 30, "an answer")
    after = webui.ask("/probe/page")
    assert after["axes"].count("[Single LoRA] Epoch") == 1 and len(after["axes"]) == len(
        before["axes"]
    )
    assert sorted(after["routes"]) == sorted(before["routes"])
    assert after["callbacks"] == before["callbacks"]
    assert len(after["threads"]) <= len(before["threads"])


LEAVE_THE_QUEUE = """url => new Promise(done => {
    const socket = new WebSocket(url);
    socket.onmessage = () => {
        socket.send(JSON.stringify({session_hash: "left", fn_index: 0}));
        socket.close();
        done();
    };
})"""


@needs_chromium
def test_reload_ui_ends_after_pages_were_closed_on_their_way_into_gradio_s_queue(
    webui: WebUI, page: Any
) -> None:
    for _ in range(5):  # without us the WebUI waits for these for ever
        page.evaluate(LEAVE_THE_QUEUE, webui.url.replace("http", "ws") + "/queue/join")
    page.close()
    starts = webui.log.read_text(errors="replace").count("Startup time")
    webui.ask("/probe/reload", {})
    webui.wait_for(
        lambda: webui.log.read_text(errors="replace").count("Startup time") > starts,
        60,
        "the page to come back",
    )
    webui.wait_for(webui.ready, 30, "an answer")


def test_reload_ui_stops_a_job_as_interrupt_does_and_it_goes_on(webui: WebUI) -> None:
    name = webui.prepared(new_workspace(webui, "reloaded", training__epochs=12))
    picture = webui.picture()
    job = webui.submit(name, "train")
    webui.training_step(job, 2)
    starts = webui.log.read_text(errors="replace").count("Startup time")
    webui.ask("/probe/reload", {})
    webui.wait_for(
        lambda: webui.log.read_text(errors="replace").count("Startup time") > starts,
        120,
        "the page to come back",
    )
    webui.wait_for(webui.ready, 30, "an answer")
    assert webui.ended(job, 30)["state"] == "cancelled"
    assert webui.ended(webui.submit(name, "train"))["state"] == "done"
    assert webui.picture() == picture
    assert webui.picture(f"isabella, girl <lora:{name}:1>") != picture


def test_a_killed_webui_goes_on_where_it_was(webui: WebUI) -> None:
    name = new_workspace(webui, "killed", training__epochs=12, regularization__count=0)
    for stage in ("prepare", "crop", "caption"):
        assert webui.ended(webui.submit(name, stage))["state"] == "done"
    folder = webui.data / "outputs" / "singlelora"
    shutil.copytree(folder / name, folder / "alive")
    first = webui.submit(name, "train")
    steps = webui.training_step(first, 1)["total"]
    webui.training_step(first, steps // 2)
    webui.kill()
    webui.start()
    assert webui.ask(f"/singlelora/v1/workspaces/{name}")["stages"]["train"] == "begun"
    second = webui.ended(webui.submit(name, "train"))
    assert second["state"] == "done"
    events = (folder / name / "log" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    trained = sum('"event": "step"' in line for line in events)
    assert trained < steps * 3 // 2  # it did not begin anew
    assert webui.ended(webui.submit("alive", "train"))["state"] == "done"
    same_weights(
        folder / name / "model" / "isabella.safetensors",
        folder / "alive" / "model" / "isabella.safetensors",
    )
