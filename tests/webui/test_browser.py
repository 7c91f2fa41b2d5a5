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


def open_workspace(page: Any, name: str) -> None:
    """Choose a workspace in the page's own list."""
    page.locator("#sl-workspace").click()
    page.locator(f"[data-workspace='{name}']").click()
    page.locator("#sl-step-source").wait_for()


def open_step(page: Any, name: str) -> None:
    page.locator(f"#sl-step-{name}").click()
    page.locator(f".panel-{name}").wait_for()


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
def test_the_tab_says_where_it_runs(webui: WebUI, page: Any) -> None:
    title = {"webui": "Stable Diffusion WebUI", "forge": "Forge", "reforge": "reForge"}[webui.kind]
    page.locator("#sl-host").get_by_text(title).wait_for()
    assert f"Single LoRA: runs in {title} " in webui.log.read_text(errors="replace")


@needs_chromium
def test_a_user_goes_all_the_way(webui: WebUI, page: Any) -> None:
    page.locator("#sl-new input[type=file]").set_input_files(ROOT / "examples" / "isabella.png")
    page.locator("#sl-new .drop img").wait_for()
    page.locator("#sl-trigger").fill("browser")
    page.locator("#sl-start-only").click()
    page.locator("#sl-step-source[data-state=ready]").wait_for()
    values = {
        "prepare.long_side": 512,
        "regularization.count": 2,
        "regularization.steps": 3,
        "training.repeats": 2,
        "training.rank": 4,
        "plot.steps": 3,
        "plot.strengths": "1",
        "inpaint.count": 1,
        "inpaint.steps": 3,
    }
    webui.ask("/singlelora/v1/workspaces/browser", values, method="PATCH")
    open_step(page, "train")
    page.locator("#sl-training-epochs").fill("3")
    page.locator("#sl-training-epochs").press("Tab")
    page.locator("#sl-run").click()
    page.locator("#sl-run-now").click()
    page.locator(".jobs .bar").wait_for()
    visit(webui, page)  # the browser is reloaded in the middle
    page.locator(".jobs", has_text="browser: everything").wait_for()
    page.locator("#sl-step-test[data-state=done]").wait_for(timeout=300_000)
    open_step(page, "test")
    page.locator("#sl-take code", has_text="<lora:browser").wait_for()
    page.frame_locator("#sl-sheet").get_by_text("Recommended").first.wait_for()
    if folder := os.environ.get("SD_WEBUI_SHOTS"):
        page.screenshot(path=Path(folder) / "tab.png", full_page=True)
    page.locator("[data-send=txt2img]").click()
    prompt = page.locator("#txt2img_prompt textarea")
    prompt.wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#txt2img_prompt textarea').value.includes('<lora:browser')"
    )
    assert our_problems(page) == []


@needs_chromium
def test_a_second_browser_sees_the_job_and_may_cancel_it(webui: WebUI, page: Any) -> None:
    new_workspace(webui, "watched", training__epochs=300, regularization__count=0)
    open_workspace(page, "watched")
    page.locator("#sl-run").click()
    page.locator("#sl-run-now").click()
    page.locator(".jobs .bar").wait_for()
    other = page.context.browser.new_context().new_page()
    other.set_default_timeout(60_000)
    visit(webui, other)
    other.locator(".jobs", has_text="watched: everything").wait_for()
    other.locator(".jobs").get_by_text("epoch").first.wait_for(timeout=120_000)
    other.locator("[data-job=cancel]").click()
    for browser_page in (page, other):
        browser_page.locator(".jobs").get_by_text("finished work is kept").wait_for()
    other.close()
    assert our_problems(page) == []


@needs_chromium
def test_a_checkpoint_that_cannot_be_switched_now_stays_with_a_warning(
    webui: WebUI, page: Any
) -> None:
    lists = ".model_selection" if webui.kind == "forge" else "#setting_sd_model_checkpoint"

    def small_is_shown() -> None:
        shown = f"document.querySelector('{lists} input').value.startsWith('small')"
        page.wait_for_function(shown)

    choose(page, lists, "small")  # reForge names none until one was chosen
    small_is_shown()
    page.wait_for_timeout(2000)
    before = webui.ask("/sdapi/v1/options")["sd_model_checkpoint"]
    job = webui.submit(webui.prepared(new_workspace(webui, "busy", training__epochs=300)), "train")
    try:
        webui.training_step(job, 2)
        choose(page, lists, "z other")
        page.locator(
            ".toast-body", has_text="'busy: train' is running on this checkpoint"
        ).first.wait_for()
        if webui.kind != "forge":  # its list keeps showing what was refused
            small_is_shown()
        assert webui.ask("/sdapi/v1/options")["sd_model_checkpoint"] == before
    finally:
        webui.ask(f"/singlelora/v1/jobs/{job}/cancel", {})
        assert webui.ended(job)["state"] == "cancelled"


@needs_chromium
def test_an_error_is_shown_on_the_page(webui: WebUI, page: Any) -> None:
    page.locator("#sl-start").click()
    page.locator("#sl-new .drop [role=alert]", has_text="no picture").wait_for()


@needs_chromium
def test_a_result_goes_to_inpaint_with_picture_and_mask(webui: WebUI, page: Any) -> None:
    open_workspace(page, "browser")
    open_step(page, "test")
    page.locator("[data-send=inpaint]").click()
    page.locator("#img_inpaint_base img").wait_for(state="visible")
    page.locator("#img_inpaint_mask img").wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#img2img_prompt textarea').value.includes('<lora:browser')"
    )


@needs_chromium
def test_a_result_goes_to_img2img_with_its_picture(webui: WebUI, page: Any) -> None:
    open_workspace(page, "browser")
    open_step(page, "test")
    page.locator("[data-send=img2img]").click()
    page.locator("#img2img_image img").wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#img2img_prompt textarea').value.includes('<lora:browser')"
    )


@needs_chromium
def test_an_inpainted_picture_is_kept_and_looped_back_on_the_page(webui: WebUI, page: Any) -> None:
    open_workspace(page, "browser")
    open_step(page, "test")
    page.locator("#sl-suggest").click()
    page.wait_for_function(
        "document.querySelector('single-lora').shadowRoot.querySelector('#sl-bench-prompt')"
        ".value.startsWith('browser, girl, solo')"
    )
    page.locator("#sl-inpainted button").first.click()
    page.locator("#sl-version summary").click()
    page.locator("#sl-keep").click()
    page.locator(".toast", has_text="inpaint/accepted/").wait_for()
    page.locator("#sl-again").click()
    page.locator(".jobs").get_by_text("next version: done").wait_for(timeout=120_000)
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
    if webui.kind == "forge":
        pytest.skip("gradio 4 has no WebSocket whose handler could wait")
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
