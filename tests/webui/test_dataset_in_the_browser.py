"""The data set on the page in the real WebUI: mask, crops, captions, regularization, trigger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser import needs_chromium
from tests.webui.conftest import new_workspace
from tests.webui.process import WebUI
from tests.webui.test_browser import open_step, open_workspace, our_problems

pytestmark = [pytest.mark.timeout(1200), needs_chromium]
NAME = "looked at"


@pytest.fixture
def dataset_page(webui: WebUI, page: Any) -> Any:
    """The page with a workspace chosen whose data set is there."""
    if not (folder(webui) / "reg").exists():
        new_workspace(webui, NAME)
        for stage in ("prepare", "crop", "caption", "regularize"):
            assert webui.ended(webui.submit(NAME, stage))["state"] == "done"
    open_workspace(page, NAME)
    return page


def folder(webui: WebUI) -> Path:
    return webui.data / "outputs" / "singlelora" / NAME


def test_a_mask_is_painted(webui: WebUI, dataset_page: Any) -> None:
    mask = folder(webui) / "source" / "mask.png"
    before = mask.read_bytes()
    canvas = dataset_page.locator("#sl-mask")
    canvas.scroll_into_view_if_needed()
    dataset_page.wait_for_timeout(2000)
    dataset_page.get_by_role("button", name="Eraser").click()
    box = canvas.bounding_box()
    y = box["y"] + 0.5 * box["height"]
    dataset_page.mouse.move(box["x"] + 0.45 * box["width"], y)
    dataset_page.mouse.down()
    dataset_page.mouse.move(box["x"] + 0.55 * box["width"], y, steps=8)
    dataset_page.mouse.up()
    dataset_page.locator("#sl-mask-save").click()
    dataset_page.locator(".toast", has_text="mask is saved").wait_for()
    assert mask.read_bytes() != before
    assert our_problems(dataset_page) == []


def test_a_crop_is_moved_and_cut(webui: WebUI, dataset_page: Any) -> None:
    open_step(dataset_page, "crops")
    row = dataset_page.locator(".crop-row").first
    row.click()
    name = row.get_attribute("data-crop")
    dataset_page.locator("#sl-crops").focus()
    dataset_page.keyboard.press("Shift+ArrowLeft")
    dataset_page.locator("#sl-step-crops[data-state=stale]").wait_for()
    dataset_page.locator("[data-run=crop]").click()
    dataset_page.locator("#sl-step-crops[data-state=done]").wait_for()
    path = f"/singlelora/v1/workspaces/{NAME.replace(' ', '%20')}"
    boxes = webui.ask(path)["settings"]["crop"]["boxes"]
    assert boxes[0].startswith(f"{name}:")
    assert our_problems(dataset_page) == []


def test_captions_are_edited_and_taken_back(webui: WebUI, dataset_page: Any) -> None:
    # A crop that was just cut anew may be gone; its caption goes when captions are written again
    pictures = sorted((folder(webui) / "image").rglob("*.png"))
    texts = [picture.with_suffix(".txt") for picture in pictures]
    first = [path.read_text(encoding="utf-8") for path in texts]
    open_step(dataset_page, "captions")
    dataset_page.locator("#sl-bulk summary").click()
    dataset_page.locator("#sl-bulk-add").fill("smile")
    dataset_page.locator("#sl-bulk-apply").click()
    dataset_page.locator(".toast", has_text="changed").wait_for()
    assert [path.name for path in texts if "smile" not in path.read_text(encoding="utf-8")] == []
    dataset_page.locator("#sl-bulk-undo").click()
    dataset_page.locator("#sl-bulk-undo", has_text="(0)").wait_for()
    assert [path.read_text(encoding="utf-8") for path in texts] == first
    assert our_problems(dataset_page) == []


def test_a_regularization_picture_goes_aside_and_comes_back(
    webui: WebUI, dataset_page: Any
) -> None:
    reg = folder(webui) / "reg"
    open_step(dataset_page, "regularization")
    dataset_page.locator("[data-review='0001']").click()
    dataset_page.locator(".toast", has_text="0001 is rejected").wait_for()
    assert (reg / "rejected" / "0001.png").exists()
    dataset_page.locator(".toast button", has_text="Undo").click()
    dataset_page.locator("[data-reg='0001']").wait_for()
    assert (reg / "1_girl" / "0001.png").exists() and not (reg / "rejected" / "0001.png").exists()
    assert our_problems(dataset_page) == []


def test_the_trigger_is_checked_by_the_checkpoint(webui: WebUI, dataset_page: Any) -> None:
    open_step(dataset_page, "captions")
    dataset_page.locator("#sl-trigger-check > summary").click()
    dataset_page.locator("#sl-trigger-word").fill("hat")
    dataset_page.locator("#sl-trigger-go").click()
    dataset_page.locator("#sl-trigger-told", has_text="one whole token to CLIP").wait_for()
    assert our_problems(dataset_page) == []
