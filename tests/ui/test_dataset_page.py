"""The page's data set in a real browser: the mask is painted, a crop dragged, captions edited,
pictures rejected, a block's bar dragged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from lib_singlelora.service.dataset import DatasetService
from lib_singlelora.service.service import Service
from lib_singlelora.service.trash import delete
from tests.browser import needs_chromium
from tests.ui.conftest import made, open_step, open_workspace, until

pytestmark = needs_chromium
QUICK = {
    "prepare.long_side": 256,
    "regularization.count": 2,
    "regularization.steps": 2,
    "regularization.filter": False,
    "caption.tagger": "none",
    "crop.details": 0,
}
STAGES = ("prepare", "crop", "caption", "regularize")


@pytest.fixture
def looked(page: Any, served: tuple[str, Service]) -> Iterator[tuple[Any, Service]]:
    made(served[1], "mara", QUICK, STAGES)
    first = left(served[1])
    open_workspace(page, "mara")
    yield page, served[1]
    if left(served[1]) != first:  # by a test that failed: the tests after it get it whole
        page.goto("about:blank")
        delete(served[1], "mara")


def left(service: Service) -> list[object]:
    """What tests that were not interrupted leave as it was."""
    captions = DatasetService(service).captions("mara")
    return [service.settings("mara").crop, captions["undoable"], captions["captions"]]


def dragged(page: Any, canvas: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A drag between two points, as shares of the picture, which lies fitted in the canvas."""
    # The whole canvas in view: a drag does not scroll
    page.set_viewport_size({"width": 1280, "height": 1600})
    page.wait_for_timeout(300)  # for the canvas to lie where it will stay
    page.mouse.move(*place_on(page, canvas, start))
    page.mouse.down()
    page.mouse.move(*place_on(page, canvas, end), steps=6)
    page.mouse.up()


def place_on(page: Any, canvas: str, share: tuple[float, float]) -> tuple[float, float]:
    """A point in the window, given as shares of the picture where it lies fitted in the canvas."""
    box = page.locator(canvas).bounding_box()
    side = min(box["width"], box["height"])  # the picture is square
    left = box["x"] + (box["width"] - side) / 2
    top = box["y"] + (box["height"] - side) / 2
    return left + share[0] * side, top + share[1] * side


def touched(page: Any, path: list[tuple[float, float]], held: int = 0) -> None:
    """A finger put down at the first point, held so many ms, moved along the others, and lifted."""
    pinched(page, [[point] for point in path], held)


def pinched(page: Any, steps: list[list[tuple[float, float]]], held: int = 0) -> None:
    """Several fingers, all put down at once, and where each is at each step."""
    hand = page.context.new_cdp_session(page)

    def send(kind: str, points: list[tuple[float, float]]) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    send("touchStart", steps[0])
    page.wait_for_timeout(held)
    for points in steps[1:]:
        send("touchMove", points)
    send("touchEnd", [])
    hand.detach()


def loaded(page: Any, canvas: str) -> None:
    """Wait until a canvas shows something."""
    page.wait_for_function(
        """canvas => {
            const shown = document.querySelector('single-lora').shadowRoot.querySelector(canvas);
            const pixels = shown?.width && shown.getContext('2d').getImageData(
                0, 0, shown.width, shown.height).data;
            return pixels && pixels.some(value => value);
        }""",
        arg=canvas,
    )


def test_a_painted_mask_is_saved_and_undone(looked: tuple[Any, Service]) -> None:
    page, service = looked
    before = service.workspace("mara").mask.read_bytes()
    loaded(page, "#sl-mask canvas")
    page.locator("#sl-mask").scroll_into_view_if_needed()
    page.get_by_role("button", name="Eraser").click()
    dragged(page, "#sl-mask", (0.4, 0.5), (0.6, 0.5))
    page.locator("#sl-mask-save").click()
    page.locator(".toast", has_text="mask is saved").wait_for()
    assert service.workspace("mara").mask.read_bytes() != before
    page.locator("#sl-step-crops[data-state=stale]").wait_for()


def test_any_two_substeps_are_compared_by_pointer_touch_and_keys(
    page: Any, served: tuple[str, Service]
) -> None:
    made(served[1], "enlarged", {**QUICK, "prepare.long_side": 640}, ("prepare",))
    open_workspace(page, "enlarged")
    compare = page.locator("#sl-compare")
    sides = {side: compare.get_by_role("group", name=side) for side in ("Left", "Right")}
    sides["Left"].get_by_role("radio", name="Enlarged").check()
    shown = compare.locator("img").evaluate_all("all => all.map(each => each.alt)")
    assert shown == ["Prepared", "Enlarged"]
    sides["Left"].get_by_role("radio", name="Enlarged").press("ArrowLeft")
    compare.locator("img[alt=Original]").wait_for()
    line = compare.get_by_role("slider", name="Line between the pictures")
    line.press("Home")
    assert line.get_attribute("aria-valuetext") == "0 % Original, the rest Prepared"
    stage = compare.locator(".compare-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40, steps=4)
    page.mouse.up()
    assert abs(int(line.input_value()) - 25) <= 1
    touched(page, [(box["x"] + box["width"] * at, box["y"] + 60) for at in (0.3, 0.5, 0.75)])
    assert abs(int(line.input_value()) - 75) <= 1


def picture_of(page: Any, canvas: str) -> str:
    """What a canvas shows, as text."""
    page.wait_for_timeout(200)  # it is drawn at the next frame
    shown = "canvas => document.querySelector('single-lora').shadowRoot.querySelector(canvas)"
    return str(page.evaluate(f"canvas => ({shown})(canvas).toDataURL()", canvas))


def test_a_stroke_is_undone_and_redone_by_keys_and_buttons(looked: tuple[Any, Service]) -> None:
    page, _ = looked
    canvas = "#sl-mask canvas"
    loaded(page, canvas)
    page.set_viewport_size({"width": 1280, "height": 1600})
    page.get_by_role("button", name="Eraser").click()
    page.mouse.move(*place_on(page, "#sl-mask", (0.6, 0.5)))  # its ring is in the picture too
    before = picture_of(page, canvas)
    dragged(page, "#sl-mask", (0.4, 0.5), (0.6, 0.5))
    painted = picture_of(page, canvas)
    assert painted != before
    for undo, redo in (("Control+z", "Control+Shift+Z"), ("Undo", "Redo")):
        for key, wanted in ((undo, before), (redo, painted)):
            if "+" in key:
                page.keyboard.press(key)
            else:
                tools = page.locator(".painter")
                tools.get_by_role("button", name=key, exact=True).evaluate("each => each.click()")
            assert picture_of(page, canvas) == wanted, key
    page.locator("#sl-mask").focus()
    page.keyboard.press("ArrowRight")
    assert picture_of(page, canvas) != painted  # what is in sight moves
    page.keyboard.press("0")
    assert picture_of(page, canvas) == painted


def test_the_crops_are_zoomed_and_panned_by_wheel_keys_and_two_fingers(
    looked: tuple[Any, Service],
) -> None:
    """How far, is seen by the box that the same drag draws."""
    page, service = looked
    before = service.settings("mara").crop
    open_step(page, "crops")
    loaded(page, "#sl-crops canvas:first-child")
    page.get_by_label("Snap to training shapes").uncheck()
    undo = page.locator("#sl-crop-undo")
    canvas = page.locator("#sl-crops")

    def drawn() -> list[float]:
        """Left, top, width and height of what the drag draws, as shares of the picture."""
        page.keyboard.down("Shift")
        dragged(page, "#sl-crops", (0.4, 0.4), (0.6, 0.6))
        page.keyboard.up("Shift")
        page.locator("[data-crop=own_1]").wait_for()
        until(page, lambda: any("own_1" in box for box in service.settings("mara").crop.boxes))
        [text] = [box for box in service.settings("mara").crop.boxes if box.startswith("own_1")]
        undo.click()
        page.locator("[data-crop=own_1]").wait_for(state="detached")
        until(page, lambda: service.settings("mara").crop.boxes == before.boxes)
        canvas.focus()
        left, top, right, bottom = (int(number) / 512 for number in text.split(":")[1:])
        return [left, top, right - left, bottom - top]

    def near(*wanted: float) -> bool:
        return bool(np.allclose(drawn(), wanted, atol=0.012))

    assert near(0.4, 0.4, 0.2, 0.2)
    page.mouse.move(*place_on(page, "#sl-crops", (0.5, 0.5)))
    page.mouse.wheel(0, -462)  # exp(0.0015 * 462) = 2
    page.wait_for_timeout(200)
    assert near(0.45, 0.45, 0.1, 0.1)
    assert page.evaluate("scrollY") == 0  # the wheel zooms, and does not scroll
    page.keyboard.press("0")
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert near(0.436, 0.436, 0.128, 0.128)
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")  # no crop is chosen: 40 px of what is in sight
    side = min(canvas.bounding_box()["width"], canvas.bounding_box()["height"])
    assert near(0.4 + 40 / side, 0.4, 0.2, 0.2)
    page.keyboard.press("0")
    page.keyboard.down("Control")
    dragged(page, "#sl-crops", (0.5, 0.5), (0.4, 0.5))
    page.keyboard.up("Control")
    assert near(0.5, 0.4, 0.2, 0.2)
    page.keyboard.press("0")
    middle, right = place_on(page, "#sl-crops", (0.5, 0.5)), place_on(page, "#sl-crops", (0.6, 0.5))
    far = right[0] - middle[0]
    fingers = [
        [(middle[0] - far * step, middle[1]), (middle[0] + far * step, middle[1])]
        for step in (1, 1.25, 1.5, 1.75, 2)
    ]
    pinched(page, fingers)
    assert near(0.45, 0.45, 0.1, 0.1)
    page.get_by_role("button", name="Show all").click()
    assert near(0.4, 0.4, 0.2, 0.2)


def test_crops_are_dragged_drawn_left_out_and_undone(looked: tuple[Any, Service]) -> None:
    page, service = looked
    before = service.settings("mara").crop
    open_step(page, "crops")
    loaded(page, "#sl-crops canvas:first-child")
    page.get_by_label("Snap to training shapes").uncheck()
    first = page.locator(".crop-row").first
    first.click()
    name = first.get_attribute("data-crop")
    page.locator("#sl-crops").focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.locator("#sl-step-crops[data-state=stale]").wait_for()
    page.wait_for_function(
        "() => !document.querySelector('single-lora').shadowRoot"
        ".querySelector('#sl-crop-undo').disabled"
    )
    until(page, lambda: service.settings("mara").crop.boxes)
    assert service.settings("mara").crop.boxes[0].startswith(f"{name}:")
    page.keyboard.down("Shift")  # anywhere, also inside of others
    dragged(page, "#sl-crops", (0.3, 0.3), (0.6, 0.7))
    page.keyboard.up("Shift")
    page.locator("[data-crop=own_1]").wait_for()
    until(page, lambda: any("own_1" in box for box in service.settings("mara").crop.boxes))
    box = next(box for box in service.settings("mara").crop.boxes if box.startswith("own_1"))
    left, top, right, bottom = map(int, box.split(":")[1:])
    side = 512  # of the prepared picture
    assert abs(left / side - 0.3) < 0.03 and abs(right / side - 0.6) < 0.03
    assert abs(top / side - 0.3) < 0.03 and abs(bottom / side - 0.7) < 0.03
    page.locator("#sl-crop-undo").click()
    page.locator("[data-crop=own_1]").wait_for(state="detached")
    page.get_by_role("button", name="Redo", exact=True).click()
    page.locator("[data-crop=own_1]").wait_for()
    until(page, lambda: box in service.settings("mara").crop.boxes)
    page.locator("#sl-crops").focus()
    page.keyboard.press("Control+z")
    page.locator("[data-crop=own_1]").wait_for(state="detached")
    page.locator("#sl-crop-undo").click()
    page.wait_for_function(
        "() => document.querySelector('single-lora').shadowRoot"
        ".querySelector('#sl-crop-undo').disabled"
    )
    until(page, lambda: service.settings("mara").crop.views == before.views)
    # A box that the program proposed is not one by hand afterwards.
    until(page, lambda: service.settings("mara").crop.boxes == before.boxes)
    service.change("mara", {"crop.boxes": before.boxes, "crop.views": before.views})


def test_a_crop_gets_another_name_by_field_and_by_keys_and_back(
    looked: tuple[Any, Service],
) -> None:
    page, service = looked
    desk = DatasetService(service)
    before = service.settings("mara").crop
    names = [each["name"] for each in desk.all("mara")["crops"]]
    first, second = names[:2]
    text = desk.captions("mara")["captions"][first]["text"] + ", by hand"
    desk.write_caption("mara", first, text)
    open_step(page, "crops")
    field = page.locator("#sl-crop-name")
    assert field.is_disabled()
    page.locator(f"[data-crop={first}]").click()
    for wrong, reason in ((second, "expected a free name"), ("a/b", "expected letters")):
        field.fill(wrong)
        field.press("Enter")
        page.locator("#sl-crop-name-help[role=alert]", has_text=reason).wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    field.press("Escape")
    assert field.input_value() == first.replace("_", " ")
    page.locator(f"[data-crop={first}]").press("F2")
    page.keyboard.type("Her Hat")
    page.keyboard.press("Enter")
    page.locator("[data-crop=Her_Hat]").wait_for()
    assert field.input_value() == "Her Hat"
    assert desk.captions("mara")["captions"]["Her_Hat"]["text"] == text
    assert page.locator("[data-crop=Her_Hat] img").count() == 1
    page.locator("#sl-crop-name:focus").wait_for()
    undo = page.locator("#sl-crop-undo")
    undo.click()
    page.locator(f"[data-crop={first}]").wait_for()
    until(page, lambda: service.settings("mara").crop == before)
    page.get_by_role("button", name="Redo", exact=True).click()
    page.locator("[data-crop=Her_Hat]").wait_for()
    undo.click()
    until(page, lambda: service.settings("mara").crop == before)
    assert desk.captions("mara")["captions"][first]["text"] == text
    desk.undo("mara")


def test_a_new_name_is_taken_back_whole_though_the_page_was_loading(
    looked: tuple[Any, Service],
) -> None:
    page, service = looked
    desk = DatasetService(service)
    before = service.settings("mara").crop
    crops = [each["name"] for each in desk.all("mara")["crops"]]
    open_step(page, "crops")
    page.locator(f"[data-crop={crops[0]}]").click()

    def slowly(route: Any) -> None:
        answer = route.fetch()  # of before the new name
        page.wait_for_timeout(800)
        route.fulfill(response=answer)

    page.route("**/glance", slowly, times=1)
    with page.expect_request("**/glance"):
        desk.write_caption("mara", crops[1], "smile")
    page.locator("#sl-crop-name").fill("her hat")
    page.locator("#sl-crop-name").press("Enter")
    page.locator("[data-crop=her_hat]").wait_for()
    page.locator("#sl-crop-undo").click()
    page.locator(f"[data-crop={crops[0]}]").wait_for()
    until(page, lambda: service.settings("mara").crop == before)
    assert [each["name"] for each in desk.all("mara")["crops"]] == crops
    desk.undo("mara")


def test_a_tag_is_removed_added_and_moved_by_keys(looked: tuple[Any, Service]) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop, first = next(iter(desk.captions("mara")["captions"].items()))
    open_step(page, "captions")
    card = page.locator(f"[data-caption='{crop}']")
    tags = [tag.strip() for tag in first["text"].split(",")]
    card.locator(f"[data-tag='{tags[-1]}']").focus()
    page.keyboard.press("Delete")
    page.locator(".toast", has_text="is saved").wait_for()
    assert desk.captions("mara")["captions"][crop]["text"] == ", ".join(tags[:-1])
    card.get_by_role("combobox").fill("red sash")
    page.keyboard.press("Enter")
    card.locator("[data-tag='red sash']").wait_for()
    card.locator("[data-tag='red sash']").focus()
    page.keyboard.press("Alt+ArrowLeft")
    page.locator("#sl-bulk-undo", has_text="(3)").wait_for(state="attached")
    for undone in (2, 1, 0):
        page.locator("#sl-bulk").evaluate("details => { details.open = true }")
        page.locator("#sl-bulk-undo").click()
        page.locator("#sl-bulk-undo", has_text=f"({undone})").wait_for()
    assert desk.captions("mara")["captions"][crop]["text"] == first["text"]


def test_keys_go_on_among_the_tags_without_a_pause(looked: tuple[Any, Service]) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop, first = next(iter(desk.captions("mara")["captions"].items()))
    open_step(page, "captions")
    tags = [tag.strip() for tag in first["text"].split(",")]
    press = """async (chip, key) => {
        const root = chip.getRootNode();
        chip.focus();
        for (const each of key.split(" ")) {
            root.activeElement?.dispatchEvent(
                new KeyboardEvent("keydown", {key: each, bubbles: true, cancelable: true}));
            await null;
            await null;
        }
        return root.activeElement?.dataset.tag;
    }"""
    chip = page.locator(f"[data-caption='{crop}'] [data-tag]").first
    assert chip.evaluate(press, "ArrowRight ArrowRight") == tags[2]
    assert chip.evaluate(press, "Delete ArrowRight") == tags[2]  # its neighbour was the next
    page.locator("#sl-bulk-undo", has_text="(1)").wait_for(state="attached")
    page.locator("#sl-bulk").evaluate("details => { details.open = true }")
    page.locator("#sl-bulk-undo").click()
    page.locator("#sl-bulk-undo", has_text="(0)").wait_for()
    assert desk.captions("mara")["captions"][crop]["text"] == first["text"]


def test_a_tag_is_dragged_by_mouse_and_by_a_finger_that_rested_on_it(
    looked: tuple[Any, Service],
) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop, first = next(iter(desk.captions("mara")["captions"].items()))
    tags = ["mara", "woman", "smile", "red sash", "blue sky"]
    desk.write_caption("mara", crop, ", ".join(tags))
    open_step(page, "captions")
    card = page.locator(f"[data-caption='{crop}']")
    card.locator("[data-tag='blue sky']").wait_for()
    card.scroll_into_view_if_needed()

    def order() -> list[str]:
        shown = card.locator("[data-tag]")
        return list(shown.evaluate_all("all => all.map(each => each.dataset.tag)"))

    def middle(tag: str, at: float = 0.4) -> tuple[float, float]:
        box = card.locator(f"[data-tag='{tag}']").bounding_box()
        return box["x"] + box["width"] * at, box["y"] + box["height"] / 2

    page.mouse.move(*middle("blue sky"))
    page.mouse.down()
    page.mouse.move(*middle("woman", 0.2), steps=5)
    card.locator(".is-before", has_text="woman").wait_for()
    page.mouse.up()
    moved = ["mara", "blue sky", "woman", "smile", "red sash"]
    until(page, lambda: desk.captions("mara")["captions"][crop]["text"] == ", ".join(moved))
    assert order() == moved
    page.set_viewport_size({"width": 390, "height": 800})  # so that the tags stand in rows
    card.evaluate("card => card.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(300)
    at_first = page.evaluate("scrollY")
    start, end = middle("mara"), middle("red sash", 0.9)
    assert end[1] > start[1] + 20
    way = [(start[0], start[1] + step * (end[1] - start[1]) / 8) for step in range(9)]
    touched(page, [*way, end], held=600)
    moved = ["blue sky", "woman", "smile", "red sash", "mara"]
    until(page, lambda: desk.captions("mara")["captions"][crop]["text"] == ", ".join(moved))
    assert page.evaluate("scrollY") == at_first  # and nothing was scrolled
    start = middle("woman")
    swipe = [(start[0], start[1] - step) for step in range(0, 200, 20)]
    touched(page, swipe)
    until(page, lambda: page.evaluate("scrollY") > at_first + 50)  # a swipe still scrolls
    assert order() == moved
    page.mouse.move(*middle("smile"))
    page.mouse.down()
    page.mouse.move(*middle("mara", 0.9), steps=5)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert order() == moved
    assert desk.captions("mara")["captions"][crop]["text"] == ", ".join(moved)
    for _ in range(3):
        desk.undo("mara")
    assert desk.captions("mara")["captions"][crop]["text"] == first["text"]


def test_all_captions_change_after_a_preview(looked: tuple[Any, Service]) -> None:
    page, service = looked
    desk = DatasetService(service)
    first = desk.captions("mara")["captions"]
    open_step(page, "captions")
    page.locator("#sl-bulk summary").click()
    page.locator("#sl-bulk-add").fill("smile")
    page.locator(".preview ins", has_text="smile").first.wait_for()
    assert desk.captions("mara")["captions"] == first
    page.locator("#sl-bulk-apply").click()
    page.locator(".toast", has_text="captions are changed").wait_for()
    assert all("smile" in own["text"] for own in desk.captions("mara")["captions"].values())
    page.locator(".toast button", has_text="Undo").click()
    page.locator("#sl-bulk-undo", has_text="(0)").wait_for()
    assert desk.captions("mara")["captions"] == first


def test_an_undo_takes_back_the_edit_that_is_still_being_saved(looked: tuple[Any, Service]) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop, first = next(iter(desk.captions("mara")["captions"].items()))
    open_step(page, "captions")
    card = page.locator(f"[data-caption='{crop}']")
    adding = card.get_by_role("combobox")
    adding.fill("smile")
    adding.press("Enter")
    page.locator("#sl-bulk summary").click()
    page.locator("#sl-bulk-undo", has_text="(1)").wait_for()

    def slowly(route: Any) -> None:
        page.wait_for_timeout(800)
        route.continue_()

    page.route("**/captions/*", slowly)
    adding.fill("blush")
    adding.press("Enter")
    page.locator("#sl-bulk-undo").click()
    card.locator("[data-tag=blush]").wait_for(state="detached")
    page.unroute("**/captions/*")
    assert desk.captions("mara")["captions"][crop]["text"] == f"{first['text']}, smile"
    page.locator("#sl-bulk-undo").click()
    card.locator("[data-tag=smile]").wait_for(state="detached")
    assert desk.captions("mara")["captions"][crop]["text"] == first["text"]


def test_a_tag_that_is_typed_just_after_the_field_was_left_stays(
    looked: tuple[Any, Service],
) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop, *_, other = desk.captions("mara")["captions"]
    desk.write_caption("mara", other, "smile")
    open_step(page, "captions")
    adding = page.locator(f"[data-caption='{crop}']").get_by_role("combobox")
    adding.focus()
    adding.evaluate(
        "field => { field.blur(); field.focus(); field.value = 'smi';"
        " field.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    page.wait_for_timeout(400)
    assert adding.input_value() == "smi"
    page.locator(".suggestions", has_text="smile").wait_for()
    assert adding.get_attribute("aria-activedescendant") is None
    adding.press("ArrowDown")
    page.locator(".suggestions [aria-selected=true]").wait_for()
    spoken = adding.get_attribute("aria-activedescendant")
    assert page.locator(f"#{spoken}").get_attribute("aria-selected") == "true"
    assert adding.get_attribute("aria-controls") == page.locator(".suggestions").get_attribute("id")
    adding.blur()
    page.locator(".suggestions").wait_for(state="detached")
    assert adding.input_value() == "smi"
    desk.undo("mara")


def test_a_data_set_that_cannot_be_loaded_is_told_and_what_is_shown_stays(
    looked: tuple[Any, Service],
) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop, first = next(iter(desk.captions("mara")["captions"].items()))
    open_step(page, "captions")
    page.locator("#sl-bulk summary").click()
    page.route(
        "**/dataset", lambda route: route.fulfill(status=500, body='{"detail": "the disk is gone"}')
    )
    desk.write_caption("mara", crop, f"{first['text']}, smile")
    toast = page.locator(".toast", has_text="the disk is gone")
    toast.wait_for()
    page.wait_for_timeout(300)  # for what arrived to be drawn
    assert page.locator("#sl-bulk[open]").is_visible()
    # The same trouble is told once: each change loads anew
    first_line = toast.element_handle()
    with page.expect_response("**/dataset"):
        desk.write_caption("mara", crop, f"{first['text']}, smile, hat")
    page.wait_for_timeout(300)
    assert first_line.is_visible()
    toast.get_by_role("button").click()
    with page.expect_response("**/dataset"):
        desk.write_caption("mara", crop, f"{first['text']}, hat")
    page.wait_for_timeout(300)
    assert not toast.is_visible()
    for _ in range(3):
        desk.undo("mara")


def test_that_a_data_set_cannot_be_loaded_is_told_until_it_can(looked: tuple[Any, Service]) -> None:
    page, service = looked
    desk = DatasetService(service)
    crop = next(iter(desk.captions("mara")["captions"]))
    open_step(page, "captions")
    page.route(
        "**/dataset", lambda route: route.fulfill(status=500, body='{"detail": "the disk is gone"}')
    )
    adding = page.locator(f"[data-caption='{crop}']").get_by_role("combobox")
    adding.fill("smile")
    adding.press("Enter")
    page.locator(".toast", has_text="saved").wait_for()  # and the trouble stays told
    page.locator(".toast", has_text="the disk is gone").wait_for()
    page.unroute("**/dataset")
    desk.undo("mara")
    page.locator(".toast", has_text="the disk is gone").wait_for(state="detached")


def test_a_caption_beyond_the_limit_is_marked(looked: tuple[Any, Service]) -> None:
    page, service = looked
    crop = next(iter(DatasetService(service).captions("mara")["captions"]))
    open_step(page, "captions")
    card = page.locator(f"[data-caption='{crop}']")
    card.get_by_role("button", name="as text").click()
    card.locator("textarea").fill(", ".join(f"orange suit {number}" for number in range(40)))
    card.locator("textarea").press("Tab")
    card.locator(".warn-text", has_text="of 75 tokens").wait_for()
    page.locator(".toast button", has_text="Undo").click()
    card.locator(".warn-text").wait_for(state="detached")


def test_a_regularization_picture_is_rejected_and_taken_back(looked: tuple[Any, Service]) -> None:
    page, service = looked
    open_step(page, "regularization")
    page.locator("[data-review]").first.click()
    page.locator(".toast", has_text="is rejected").wait_for()
    kept = [each["kept"] for each in DatasetService(service).all("mara")["regularization"]]
    assert sorted(kept) == [False, True]
    page.locator(".toast button", has_text="Undo").click()
    page.get_by_role("button", name="Kept (2)").wait_for()


def test_a_regularization_picture_is_redrawn(looked: tuple[Any, Service]) -> None:
    page, service = looked
    open_step(page, "regularization")
    desk = DatasetService(service)
    first = desk.all("mara")["regularization"][0]
    before = desk.file("mara", first["file"]).read_bytes()
    page.locator(f"[data-redraw='{first['name']}']").click()
    page.locator(".jobs", has_text="a picture anew: done").wait_for()
    [now] = [each for each in desk.all("mara")["regularization"] if each["name"] == first["name"]]
    assert now["prompt"] == first["prompt"] and now["seed"] != first["seed"]
    assert desk.file("mara", now["file"]).read_bytes() != before
    page.locator("#sl-step-regularization[data-state=done]").wait_for()


def test_the_template_shows_what_it_gives(looked: tuple[Any, Service]) -> None:
    page, _ = looked
    open_step(page, "regularization")
    page.locator("#sl-samples li").nth(2).wait_for()
    samples = page.locator("#sl-samples li").all_inner_texts()
    assert len(set(samples)) == 3 and all("__" not in text for text in samples)
    assert page.locator(".template mark").count() > 1


def test_a_block_is_set_by_its_bar_and_by_a_preset(looked: tuple[Any, Service]) -> None:
    page, service = looked
    open_step(page, "train")
    page.locator("[data-preset=OUTD]").click()
    page.locator("[data-block=IN04][aria-valuenow='0']").wait_for()
    until(page, lambda: service.settings("mara").training.block_weights == "OUTD")
    bar = page.locator("[data-block=IN04]")
    bar.focus()
    page.keyboard.press("End")
    page.locator("[data-block=IN04][aria-valuenow='1']").wait_for()
    box = bar.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 2 / 3, steps=3)
    page.mouse.up()
    page.locator("[data-block=IN04][aria-valuenow='0.5']").wait_for()
    until(page, lambda: service.settings("mara").training.block_weights.split(",")[5:6] == ["0.5"])


def test_the_trigger_is_checked(looked: tuple[Any, Service]) -> None:
    page, _ = looked
    open_step(page, "captions")
    page.locator("#sl-trigger-check > summary").click()
    page.locator("#sl-trigger-word").fill("ohwx")
    page.locator("#sl-trigger-go").click()
    page.locator("#sl-trigger-told", has_text="ohwx").wait_for()
