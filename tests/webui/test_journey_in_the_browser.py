"""The whole way by hand in the real WebUI's tab: each step is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser import needs_chromium
from tests.webui.conftest import FAST
from tests.webui.process import ROOT, WebUI
from tests.webui.test_browser import open_step, our_problems

pytestmark = [pytest.mark.timeout(1500), needs_chromium]
NAME = "journey"
AT = f"/singlelora/v1/workspaces/{NAME}"


def settings(webui: WebUI) -> Any:
    return webui.ask(AT)["settings"]


def dragged(page: Any, place: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over a canvas whose picture is there, between two points in shares of its size."""
    page.locator(place).scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # for the picture: a canvas says nothing of it
    box = page.locator(place).bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=8)
    page.mouse.up()


def run(page: Any, stage: str, step: str) -> None:
    """Press a step's own button, and wait until the step is done."""
    page.locator(f"[data-run={stage}]").first.click()
    page.locator(f"#sl-step-{step}[data-state=done]").wait_for(timeout=300_000)


def seen(page: Any, name: str) -> None:
    if folder := os.environ.get("SD_WEBUI_SHOTS"):
        page.screenshot(path=Path(folder) / f"journey {name}.png", full_page=True)


def test_every_step_by_hand(webui: WebUI, page: Any) -> None:
    title = webui.ask("/singlelora/v1/host")["title"]
    page.locator("#sl-host", has_text=title).wait_for()
    page.locator("#sl-new input[type=file]").set_input_files(ROOT / "examples" / "isabella.png")
    page.locator("#sl-new .drop img").wait_for()
    page.locator("#sl-trigger").fill(NAME)
    page.locator("#sl-start-only").click()
    page.locator("#sl-step-source[data-state=ready]").wait_for()
    webui.ask(AT, {**FAST, "plot.presets": "ALL"}, method="PATCH")

    run(page, "prepare", "source")
    mask = webui.data / "outputs" / "singlelora" / NAME / "source" / "mask.png"
    before = mask.read_bytes()
    page.get_by_role("button", name="Eraser").click()
    dragged(page, "#sl-mask", (0.45, 0.5), (0.55, 0.5))
    page.locator("#sl-mask-save").click()
    page.locator(".toast", has_text="mask is saved").wait_for()
    assert mask.read_bytes() != before
    seen(page, "source")

    open_step(page, "crops")
    run(page, "crop", "crops")
    first = page.locator(".crop-row").first
    first.click()
    crop = first.get_attribute("data-crop")
    page.locator("#sl-crops").focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.locator("#sl-step-crops[data-state=stale]").wait_for()
    run(page, "crop", "crops")
    assert settings(webui)["crop"]["boxes"][0].startswith(f"{crop}:")
    seen(page, "crops")

    open_step(page, "captions")
    run(page, "caption", "captions")
    card = page.locator("[data-caption]").first
    name = card.get_attribute("data-caption")
    card.get_by_role("combobox").fill("waving")
    card.get_by_role("combobox").press("Enter")
    card.locator("[data-tag=waving]").wait_for()
    webui.wait_for(
        lambda: "waving" in webui.ask(f"{AT}/dataset")["captions"][name]["text"], 30, "the caption"
    )
    seen(page, "captions")

    open_step(page, "regularization")
    run(page, "regularize", "regularization")
    page.locator("[data-redraw='0001']").click()
    page.locator(".jobs", has_text="a picture anew: done").wait_for()
    page.locator("[data-review='0002']").click()
    page.locator(".toast", has_text="0002 is rejected").wait_for()
    pictures = {each["name"]: each for each in webui.ask(f"{AT}/dataset")["regularization"]}
    assert not pictures["0002"]["kept"] and pictures["0001"]["seed"] > 1_000_000
    seen(page, "regularization")

    open_step(page, "train")
    bar = page.locator("[data-block=IN04]")
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 2 / 3, steps=3)
    page.mouse.up()
    page.locator("[data-block=IN04][aria-valuenow='0.5']").wait_for()
    webui.wait_for(
        lambda: "0.5" in settings(webui)["training"]["block_weights"].split(","), 30, "the bar"
    )
    run(page, "train", "train")
    seen(page, "train")

    open_step(page, "test")
    page.locator("[data-run=plot]").first.click()
    page.locator("#sl-live").wait_for()  # pictures come as they are drawn
    page.locator("#sl-step-test[data-state=done]").wait_for(timeout=300_000)
    page.locator("#sl-take code", has_text=f"<lora:{NAME}").wait_for()
    page.frame_locator("#sl-sheet").get_by_text("Recommended").first.wait_for()
    page.locator("#sl-live").wait_for(state="detached")

    page.locator("#sl-bench-mask").check()
    dragged(page, "#sl-bench-paint", (0.45, 0.4), (0.6, 0.5))
    page.locator("[data-run=inpaint]").click()
    page.locator("#sl-inpainted button").first.wait_for(timeout=300_000)
    page.locator(".jobs", has_text="inpainting: done").wait_for()
    page.locator("#sl-inpainted button").first.click()
    page.locator("#sl-version summary").click()
    page.locator("#sl-again").click()
    page.locator(".jobs", has_text="next version: done").wait_for(timeout=120_000)
    seen(page, "test")
    assert webui.ask(f"/singlelora/v1/workspaces/{NAME}-v2")["generated"]
    assert our_problems(page) == []
