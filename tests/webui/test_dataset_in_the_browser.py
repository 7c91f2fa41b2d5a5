"""The page's part on the data set in the real WebUI, on its older gradio: mask, crops, captions,
regularization, trigger.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser import needs_chromium
from tests.webui.conftest import new_workspace
from tests.webui.running import WebUI
from tests.webui.test_browser import choose, own_problems

pytestmark = [pytest.mark.timeout(1200), needs_chromium]
NAME = "looked at"


@pytest.fixture
def looked(webui: WebUI, page: Any) -> Any:
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
    found = page.locator(f"#singlelora_look_{part}")
    found.locator(".label-wrap").first.click()
    page.wait_for_timeout(1500)
    return found


def told(page: Any, text: str) -> None:
    page.locator("#singlelora_note", has_text=text).first.wait_for()


def shot(page: Any, part: str) -> None:
    if wanted := os.environ.get("SD_WEBUI_SHOTS"):
        page.locator(f"#singlelora_look_{part}").screenshot(path=Path(wanted) / f"look-{part}.png")


def test_a_mask_is_painted(webui: WebUI, looked: Any) -> None:
    mask = folder(webui) / "source" / "mask.png"
    before = Image.open(mask).convert("L")
    opened(looked, "picture")
    looked.locator("#singlelora_load_mask").click()
    looked.wait_for_timeout(3000)
    looked.locator("#singlelora_mask_side").get_by_text("is background").click()
    canvas = looked.locator("#singlelora_mask canvas").last
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    y = box["y"] + 0.5 * box["height"]
    looked.mouse.move(box["x"] + 0.45 * box["width"], y)
    looked.mouse.down()
    looked.mouse.move(box["x"] + 0.55 * box["width"], y, steps=8)
    looked.mouse.up()
    looked.wait_for_timeout(1000)
    shot(looked, "picture")
    looked.locator("#singlelora_paint").click()
    told(looked, "The mask is changed")
    after = Image.open(mask).convert("L")
    assert after.size == before.size and sum(after.histogram()[200:]) < sum(
        before.histogram()[200:]
    )
    assert own_problems(looked) == []


def test_a_crop_is_moved_and_cut(webui: WebUI, looked: Any) -> None:
    opened(looked, "crops").get_by_text("may be mirrored").wait_for()
    looked.locator("#singlelora_crops button img").first.click()
    looked.wait_for_timeout(1500)
    name = looked.locator(
        "#singlelora_crop_name textarea, #singlelora_crop_name input"
    ).first.input_value()
    picture = looked.locator("#singlelora_boxes img").first
    box = picture.bounding_box()
    for dx, dy in ((-60, -60), (60, 60)):
        picture.click(position={"x": box["width"] / 2 + dx, "y": box["height"] / 2 + dy})
        looked.wait_for_timeout(1500)
    left, right = (
        int(looked.locator(f"#singlelora_box_{side} input").first.input_value())
        for side in ("left", "right")
    )
    assert 0 < left < right
    shot(looked, "crops")
    looked.locator("#singlelora_move").click()
    told(looked, "The crops are cut anew")
    webui.wait_for(
        lambda: (
            name
            and any(
                one.startswith(f"{name}:{left}:")
                for one in webui.ask(f"/singlelora/v1/workspaces/{NAME.replace(' ', '%20')}")[
                    "settings"
                ]["crop"]["boxes"]
            )
        ),
        60,
        "the box to be kept",
    )
    assert own_problems(looked) == []


def test_captions_are_edited_and_taken_back(webui: WebUI, looked: Any) -> None:
    texts = sorted((folder(webui) / "image").rglob("*.txt"))
    first = [path.read_text(encoding="utf-8") for path in texts]
    opened(looked, "captions")
    looked.locator("#singlelora_caption_text textarea").first.fill(
        ", ".join(["isabella", *["orange suit"] * 30])
    )
    looked.locator("#singlelora_count .singlelora-beyond").wait_for()
    looked.locator("#singlelora_save_caption").click()
    told(looked, "is saved")
    looked.locator("#singlelora_tags_add textarea, #singlelora_tags_add input").first.fill("smile")
    looked.locator("#singlelora_edit_tags").click()
    told(looked, "All captions are changed")
    shot(looked, "captions")
    assert all("smile" in path.read_text(encoding="utf-8") for path in texts)
    for left in (1, 0):
        looked.locator("#singlelora_undo").click()
        told(looked, f"{left} more can be")
    assert [path.read_text(encoding="utf-8") for path in texts] == first
    assert own_problems(looked) == []


def test_a_regularization_picture_goes_aside_and_comes_back(webui: WebUI, looked: Any) -> None:
    reg = folder(webui) / "reg"
    opened(looked, "regularization")
    looked.locator("#singlelora_kept button img").first.click()
    looked.wait_for_timeout(1500)
    looked.locator("#singlelora_reject").click()
    told(looked, "0001 is put aside")
    assert (reg / "rejected" / "0001.png").exists()
    looked.get_by_text("rejected by hand").first.wait_for()
    shot(looked, "regularization")
    looked.locator("#singlelora_rejected button img").first.click()
    looked.wait_for_timeout(1500)
    looked.locator("#singlelora_take_back").click()
    told(looked, "0001 is back in the set")
    assert (reg / "1_girl" / "0001.png").exists() and not (reg / "rejected" / "0001.png").exists()
    assert own_problems(looked) == []


def test_the_trigger_is_checked_by_the_checkpoint(webui: WebUI, looked: Any) -> None:
    opened(looked, "trigger")
    looked.locator("#singlelora_word textarea, #singlelora_word input").first.fill("hat")
    looked.locator("#singlelora_check").click()
    told(looked, "The checkpoint is asked")
    looked.locator("#singlelora_trigger_told").get_by_text(
        "one whole token to CLIP"
    ).first.wait_for()
    shot(looked, "trigger")
    assert own_problems(looked) == []
