"""The data set on the page in the real WebUI, whose gradio is older.

Mask, crops, captions, regularization pictures, trigger.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser import needs_chromium
from tests.webui.conftest import new_workspace
from tests.webui.process import WebUI
from tests.webui.test_browser import choose, our_problems

pytestmark = [pytest.mark.timeout(1200), needs_chromium]
NAME = "looked at"


@pytest.fixture
def dataset_page(webui: WebUI, page: Any) -> Any:
    """The page with a workspace chosen whose data set is there."""
    if not (folder(webui) / "reg").exists():
        new_workspace(webui, NAME)
        for stage in ("prepare", "crop", "caption", "regularize"):
            assert webui.ended(webui.submit(NAME, stage))["state"] == "done"
        page.reload()
        page.locator("#tabs > .tab-nav button", has_text="Single LoRA").click()
    choose(page, "#singlelora_workspace", NAME)
    page.locator("#singlelora_look_picture").wait_for()
    page.wait_for_timeout(2000)
    return page


def folder(webui: WebUI) -> Path:
    return webui.data / "outputs" / "singlelora" / NAME


def opened(page: Any, part: str) -> Any:
    accordion = page.locator(f"#singlelora_look_{part}")
    accordion.locator(".label-wrap").first.click()
    page.wait_for_timeout(1500)
    return accordion


def wait_for_note(page: Any, text: str) -> None:
    page.locator("#singlelora_note", has_text=text).first.wait_for()


def shot(page: Any, part: str) -> None:
    if wanted := os.environ.get("SD_WEBUI_SHOTS"):
        page.locator(f"#singlelora_look_{part}").screenshot(path=Path(wanted) / f"look-{part}.png")


def test_a_mask_is_painted(webui: WebUI, dataset_page: Any) -> None:
    mask = folder(webui) / "source" / "mask.png"
    before = Image.open(mask).convert("L")
    opened(dataset_page, "picture")
    dataset_page.locator("#singlelora_load_mask").click()
    dataset_page.wait_for_timeout(3000)
    dataset_page.locator("#singlelora_mask_side").get_by_text("is background").click()
    canvas = dataset_page.locator("#singlelora_mask canvas").last
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    y = box["y"] + 0.5 * box["height"]
    dataset_page.mouse.move(box["x"] + 0.45 * box["width"], y)
    dataset_page.mouse.down()
    dataset_page.mouse.move(box["x"] + 0.55 * box["width"], y, steps=8)
    dataset_page.mouse.up()
    dataset_page.wait_for_timeout(1000)
    shot(dataset_page, "picture")
    dataset_page.locator("#singlelora_paint").click()
    wait_for_note(dataset_page, "The mask is changed")
    after = Image.open(mask).convert("L")
    assert after.size == before.size and sum(after.histogram()[200:]) < sum(
        before.histogram()[200:]
    )
    assert our_problems(dataset_page) == []


def test_a_crop_is_moved_and_cut(webui: WebUI, dataset_page: Any) -> None:
    opened(dataset_page, "crops").get_by_text("may be mirrored").wait_for()
    dataset_page.locator("#singlelora_crops button img").first.click()
    dataset_page.wait_for_timeout(1500)
    name = dataset_page.locator(
        "#singlelora_crop_name textarea, #singlelora_crop_name input"
    ).first.input_value()
    picture = dataset_page.locator("#singlelora_boxes img").first
    box = picture.bounding_box()
    for dx, dy in ((-60, -60), (60, 60)):
        picture.click(position={"x": box["width"] / 2 + dx, "y": box["height"] / 2 + dy})
        dataset_page.wait_for_timeout(1500)
    left, right = (
        int(dataset_page.locator(f"#singlelora_box_{side} input").first.input_value())
        for side in ("left", "right")
    )
    assert 0 < left < right
    shot(dataset_page, "crops")
    dataset_page.locator("#singlelora_move").click()
    wait_for_note(dataset_page, "The crops are being cut again")
    webui.wait_for(
        lambda: (
            name
            and any(
                box.startswith(f"{name}:{left}:")
                for box in webui.ask(f"/singlelora/v1/workspaces/{NAME.replace(' ', '%20')}")[
                    "settings"
                ]["crop"]["boxes"]
            )
        ),
        60,
        "the box to be kept",
    )
    assert our_problems(dataset_page) == []


def test_captions_are_edited_and_taken_back(webui: WebUI, dataset_page: Any) -> None:
    texts = sorted((folder(webui) / "image").rglob("*.txt"))
    first = [path.read_text(encoding="utf-8") for path in texts]
    opened(dataset_page, "captions")
    dataset_page.locator("#singlelora_caption_text textarea").first.fill(
        ", ".join(["isabella", *["orange suit"] * 30])
    )
    dataset_page.locator("#singlelora_count .singlelora-beyond").wait_for()
    dataset_page.locator("#singlelora_save_caption").click()
    wait_for_note(dataset_page, "is saved")
    dataset_page.locator("#singlelora_tags_add textarea, #singlelora_tags_add input").first.fill(
        "smile"
    )
    dataset_page.locator("#singlelora_edit_tags").click()
    wait_for_note(dataset_page, "All captions are changed")
    shot(dataset_page, "captions")
    assert all("smile" in path.read_text(encoding="utf-8") for path in texts)
    for left in (1, 0):
        dataset_page.locator("#singlelora_undo").click()
        wait_for_note(dataset_page, f"{left} more can be")
    assert [path.read_text(encoding="utf-8") for path in texts] == first
    assert our_problems(dataset_page) == []


def test_a_regularization_picture_goes_aside_and_comes_back(
    webui: WebUI, dataset_page: Any
) -> None:
    reg = folder(webui) / "reg"
    opened(dataset_page, "regularization")
    dataset_page.locator("#singlelora_kept button img").first.click()
    dataset_page.wait_for_timeout(1500)
    dataset_page.locator("#singlelora_reject").click()
    wait_for_note(dataset_page, "0001 is rejected")
    assert (reg / "rejected" / "0001.png").exists()
    dataset_page.get_by_text("rejected by hand").first.wait_for()
    shot(dataset_page, "regularization")
    dataset_page.locator("#singlelora_rejected button img").first.click()
    dataset_page.wait_for_timeout(1500)
    dataset_page.locator("#singlelora_take_back").click()
    wait_for_note(dataset_page, "0001 is back in the set")
    assert (reg / "1_girl" / "0001.png").exists() and not (reg / "rejected" / "0001.png").exists()
    assert our_problems(dataset_page) == []


def test_the_trigger_is_checked_by_the_checkpoint(webui: WebUI, dataset_page: Any) -> None:
    opened(dataset_page, "trigger")
    dataset_page.locator("#singlelora_word textarea, #singlelora_word input").first.fill("hat")
    dataset_page.locator("#singlelora_check").click()
    wait_for_note(dataset_page, "The checkpoint is being tested")
    dataset_page.locator("#singlelora_trigger_told").get_by_text(
        "one whole token to CLIP"
    ).first.wait_for()
    shot(dataset_page, "trigger")
    assert our_problems(dataset_page) == []
