"""The page's part on the data set in a real browser: the mask is painted, a crop moved, captions
edited, a picture put aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from lib_singlelora.service.dataset import DatasetService
from lib_singlelora.service.service import Service
from tests.browser import needs_chromium
from tests.ui.test_page import open_workspace, type_in

pytestmark = needs_chromium
QUICK = {
    "prepare.long_side": 256,
    "regularization.count": 2,
    "regularization.steps": 2,
    "regularization.filter": False,
    "caption.tagger": "none",
    "crop.details": 0,
}


@pytest.fixture
def looked(page: Any, served: tuple[str, Service]) -> Iterator[tuple[Any, Service]]:
    open_workspace(page, served, "mara", QUICK, ("prepare", "crop", "caption", "regularize"))
    page.locator("#singlelora_look_picture").wait_for()
    yield page, served[1]


def opened(page: Any, part: str) -> Any:
    found = page.locator(f"#singlelora_look_{part}")
    found.locator("button.label-wrap").first.click()
    page.wait_for_timeout(1500)
    return found


def told(page: Any, text: str) -> None:
    page.locator("#singlelora_note", has_text=text).first.wait_for()


def value(page: Any, name: str) -> str:
    return str(
        page.locator(f"#singlelora_{name} input, #singlelora_{name} textarea").first.input_value()
    )


def test_a_painted_mask_is_kept(looked: tuple[Any, Service]) -> None:
    page, service = looked
    before = service.workspace("mara").mask.read_bytes()
    opened(page, "picture")
    page.locator("#singlelora_paint").click()
    told(page, "Nothing is painted")
    canvas = page.locator("#singlelora_mask canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    y = box["y"] + 0.5 * box["height"]
    page.locator("#singlelora_mask_side").get_by_text("is background").click()
    page.mouse.move(box["x"] + 0.45 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.55 * box["width"], y, steps=8)
    page.mouse.up()
    page.wait_for_timeout(1000)
    page.locator("#singlelora_paint").click()
    told(page, "The mask is changed")
    assert service.workspace("mara").mask.read_bytes() != before


def test_a_crop_is_moved_by_two_clicks(looked: tuple[Any, Service]) -> None:
    page, service = looked
    told_of = opened(page, "crops")
    told_of.get_by_text("may be mirrored").wait_for()
    page.locator("#singlelora_crops button img").first.click()
    page.wait_for_timeout(1000)
    name = value(page, "crop_name")
    assert name in {crop["name"] for crop in DatasetService(service).all("mara")["crops"]}
    picture = page.locator("#singlelora_boxes img").first
    box = picture.bounding_box()
    for dx, dy in ((-60, -60), (60, 60)):
        picture.click(position={"x": box["width"] / 2 + dx, "y": box["height"] / 2 + dy})
        page.wait_for_timeout(1000)
    left, top, right, bottom = (
        int(value(page, f"box_{side}")) for side in ("left", "top", "right", "bottom")
    )
    # The picture has 512 by 512
    assert 0 < left < 256 < right < 512 and 0 < top < 256 < bottom < 512
    page.locator("#singlelora_move").click()
    told(page, "The crops are being cut again")
    assert service.runner.tickets[-1].wait(60).error is None
    moved = {crop["name"]: crop for crop in DatasetService(service).all("mara")["crops"]}[name]
    assert moved["box"] == [left, top, right, bottom]
    assert service.settings("mara").crop.boxes == (f"{name}:{left}:{top}:{right}:{bottom}",)


def test_a_caption_shows_its_limit_and_changes_are_taken_back(looked: tuple[Any, Service]) -> None:
    page, service = looked
    desk = DatasetService(service)
    first = desk.captions("mara")["captions"]
    opened(page, "captions")
    type_in(page, {"caption_text": ", ".join(["mara", *["orange suit"] * 30])})
    page.locator("#singlelora_count .singlelora-beyond").wait_for()
    page.locator("#singlelora_save_caption").click()
    told(page, "is saved")
    type_in(page, {"tags_add": "smile"})
    page.locator("#singlelora_edit_tags").click()
    told(page, "All captions are changed")
    assert all("smile" in own["text"] for own in desk.captions("mara")["captions"].values())
    for left in (1, 0):
        page.locator("#singlelora_undo").click()
        told(page, f"{left} more can be")
    assert desk.captions("mara")["captions"] == first


def test_a_regularization_picture_is_put_aside_and_taken_back(looked: tuple[Any, Service]) -> None:
    page, service = looked
    opened(page, "regularization")
    page.locator("#singlelora_kept button img").first.click()
    page.wait_for_timeout(1000)
    page.locator("#singlelora_reject").click()
    told(page, "0001 is rejected")
    page.get_by_text("rejected by hand").first.wait_for()
    page.locator("#singlelora_rejected button img").first.click()
    page.wait_for_timeout(1000)
    page.locator("#singlelora_take_back").click()
    told(page, "0001 is back in the set")
    assert all(own["kept"] for own in DatasetService(service).all("mara")["regularization"])


def test_the_trigger_is_checked(looked: tuple[Any, Service]) -> None:
    page, service = looked
    opened(page, "trigger")
    type_in(page, {"word": "hat"})
    page.locator("#singlelora_check").click()
    told(page, "The checkpoint is being tested")
    assert service.runner.tickets[-1].wait(120).error is None
    page.locator("#singlelora_trigger_told").get_by_text("one whole token to CLIP").first.wait_for()
