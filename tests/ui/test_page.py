"""The standalone page in a real browser, on the small checkpoint: start, run, reload, pause, go on;
what a second browser sees; what a broken connection does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")


from lib_singlelora.files.fileio import write_json
from lib_singlelora.service.service import Service
from lib_singlelora.settings.schema import declarations, group_of
from lib_singlelora.sheets.page import Page, PageCell, PageTable, write_page
from tests.browser import needs_chromium
from tests.two_colours import two_colours
from tests.ui.conftest import PICTURE, made, open_step, open_workspace, until, visit

pytestmark = needs_chromium
QUICK = {
    "prepare.long_side": 256,
    "regularization.count": 1,
    "regularization.steps": 2,
    "training.repeats": 1,
    "training.epochs": 400,
    "training.rank": 2,
    "plot.strengths": "1",
    "plot.steps": 2,
    "inpaint.count": 1,
    "inpaint.steps": 2,
}
WIDTHS = (1280, 390)
APP = Path(__file__).parents[2] / "javascript" / "app"


def test_a_mistake_is_told_and_the_form_stays(page: Any) -> None:
    page.locator("#sl-trigger").fill("eileen")
    page.locator("#sl-start").click()
    page.locator("#sl-new .drop [role=alert]", has_text="no picture").wait_for()
    assert page.locator("#sl-trigger").input_value() == "eileen"


def test_a_refused_trigger_is_told_beside_its_field_until_it_is_mended(page: Any) -> None:
    page.locator("#sl-new input[type=file]").set_input_files(PICTURE)
    page.locator("#sl-trigger").fill("girl")
    page.locator("#sl-start-only").click()
    page.locator("#sl-trigger-help[role=alert]", has_text="is the class too").wait_for()
    assert page.locator("#sl-trigger").get_attribute("aria-invalid") == "true"
    page.locator("#sl-trigger").fill("girlish")
    page.locator("#sl-trigger-help:not([role])").wait_for()
    assert page.locator(".toast").count() == 0


def test_the_picture_of_another_tab_is_taken(page: Any) -> None:
    """What stands in for txt2img's gallery here is there in the WebUI."""
    page.evaluate(
        """() => {
            const drawn = document.createElement('canvas');
            drawn.getContext('2d').fillRect(0, 0, 9, 9);
            document.body.insertAdjacentHTML('beforeend', '<div id="txt2img_gallery"><img></div>');
            document.querySelector('#txt2img_gallery img').src = drawn.toDataURL();
        }"""
    )
    page.locator("#sl-class").focus()  # back from the other tab
    page.locator("[data-from=txt2img]").click()
    page.locator("#sl-new .drop img").wait_for()


def test_a_note_is_in_sight_wherever_the_page_is_scrolled(
    page: Any, served: tuple[str, Service]
) -> None:
    made(served[1], "noted", QUICK, ())
    open_workspace(page, "noted")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.locator("#sl-workspace").click()
    page.locator("button[aria-label='Delete noted']").click()
    box = page.locator(".toast").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 500


def test_start_run_reload_pause_go_on(page: Any, served: tuple[str, Service]) -> None:
    url, service = served
    page.locator("#sl-new input[type=file]").set_input_files(PICTURE)
    page.locator("#sl-new .drop img").wait_for()
    page.locator("#sl-trigger").fill("eileen")
    page.locator("#sl-class").fill("woman")
    page.locator("#sl-start-only").click()
    page.locator("#sl-step-source[data-state=ready]").wait_for()
    service.change("eileen", QUICK)
    page.locator("#sl-run").click()
    page.locator(".plan li", has_text="Train").get_by_text("steps").wait_for()
    page.locator("#sl-run-now").click()
    job = page.locator(".jobs")
    job.get_by_text(re.compile(r"epoch \d+ of 400")).first.wait_for(timeout=200_000)
    visit(page, url)  # the browser is reloaded in the middle
    job.get_by_text(re.compile(r"epoch \d+ of 400")).first.wait_for(timeout=200_000)
    page.locator("#sl-step-train[data-state=running]").wait_for()
    page.locator("[data-job=pause]").click()
    page.locator("[data-job=resume]").wait_for()
    page.locator("#sl-step-train[data-state=begun]").wait_for()
    service.change("eileen", {"training.epochs": 2})
    page.locator("[data-job=resume]").click()
    page.locator("#sl-step-test[data-state=done]").wait_for(timeout=200_000)
    open_step(page, "test")
    page.locator("#sl-take code", has_text="<lora:eileen").wait_for()
    page.frame_locator("#sl-sheet").get_by_text("Recommended").first.wait_for()
    assert set(service.results("eileen")["loras"]) == {"eileen-000001", "eileen"}


def test_a_changed_setting_says_which_steps_are_stale_and_why(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    open_workspace(page, "eileen")
    page.locator("#sl-prepare-long_side").fill("320")
    page.locator("#sl-prepare-long_side").press("Tab")
    page.locator("#sl-step-source[data-state=stale]").wait_for()
    page.get_by_text("256 → 320").wait_for()
    page.locator("#sl-step-test[data-state=stale]").wait_for()
    page.locator("[data-setting='prepare.long_side'] button", has_text="was 256").click()
    page.locator("#sl-step-test[data-state=done]").wait_for()
    assert service.settings("eileen").prepare.long_side == 256


def test_a_wrong_value_is_told_where_it_stands(page: Any, served: tuple[str, Service]) -> None:
    open_workspace(page, "eileen")
    open_step(page, "train")
    page.locator("#sl-training-rank").fill("4000")
    page.locator("#sl-training-rank").press("Tab")
    page.locator("[data-setting='training.rank'] .note.bad", has_text="expected 1 to").wait_for()
    assert served[1].settings("eileen").training.rank == 2


def test_what_is_being_typed_outlives_what_arrives_from_elsewhere(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    open_workspace(page, "eileen")
    open_step(page, "train")
    page.locator("#sl-training-alpha").fill("3")
    service.change("eileen", {"training.alpha": 5, "training.batch_size": 2})
    page.wait_for_function(
        "document.querySelector('single-lora').shadowRoot"
        ".querySelector('#sl-training-batch_size').value === '2'"
    )
    assert page.locator("#sl-training-alpha").input_value() == "3"
    page.locator("#sl-training-alpha").press("Tab")
    page.locator("[data-setting='training.alpha'] button", has_text="was 5").click()
    page.wait_for_function(
        "document.querySelector('single-lora').shadowRoot"
        ".querySelector('#sl-training-alpha').value === '5'"
    )
    until(page, lambda: service.settings("eileen").training.alpha == 5)


def test_a_preset_that_was_chosen_is_marked_and_goes_back_to_the_checkpoint_s(
    page: Any, served: tuple[str, Service]
) -> None:
    open_workspace(page, "eileen")
    open_step(page, "train")
    field = page.locator("[data-setting='training.preset']")
    field.locator("input").fill("quick")
    field.locator("input").press("Tab")
    field.locator(".badge").wait_for()
    field.get_by_role("button", name="default").click()
    field.locator(".badge").wait_for(state="detached")
    assert served[1].settings("eileen").training.preset == "recommended"


def test_settings_are_found_by_a_word(page: Any) -> None:
    open_workspace(page, "eileen")
    open_step(page, "train")
    assert not page.locator("#sl-training-min_snr_gamma").is_visible()
    page.locator(".settings input[type=search]").fill("snr")
    page.locator("#sl-training-min_snr_gamma").wait_for()
    assert not page.locator("#sl-training-rank").is_visible()


def test_an_inpainted_picture_is_kept_and_becomes_the_next_version(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    open_workspace(page, "eileen")
    open_step(page, "test")
    page.locator("#sl-suggest").click()
    page.wait_for_function(
        "document.querySelector('single-lora').shadowRoot.querySelector('#sl-bench-prompt')"
        ".value.startsWith('eileen, woman, solo')"
    )
    page.locator("#sl-inpainted button").first.click()
    page.locator("#sl-version summary").click()
    page.locator("#sl-keep").click()
    page.locator(".toast", has_text="inpaint/accepted/").wait_for()
    assert len(service.results("eileen")["accepted"]) == 1
    page.locator("#sl-again").click()
    page.locator(".jobs").get_by_text("next version: done").wait_for()
    assert service.results("eileen-v2")["version"] == 2
    assert service.results("eileen-v2")["generated"]


def test_a_sheet_that_is_drawn_is_its_own_page_with_the_pictures_that_are_there(
    page: Any, served: tuple[str, Service]
) -> None:
    """Each picture comes into its place, and is looked at as on the finished sheet."""
    made(served[1], "drawn", QUICK, ())
    workspace = served[1].workspace("drawn")
    cells = workspace.plots / "cells"
    cells.mkdir(parents=True)
    names = [f"{number:016x}-1.png" for number in range(2)]
    row = tuple(PageCell(f"cell {name}", "", "", (cells / name,), (1,)) for name in names)
    table = PageTable("ALL", ("epoch 1",), ("0.5", "1"), (row,))
    plan = {"title": "ALL", "rows": ["epoch 1"], "columns": ["0.5", "1"]}
    write_json(
        workspace.plots / "live.json", {"tables": [{**plan, "cells": [[[n] for n in names]]}]}
    )
    write_page(workspace.plots / "live.html", Page("drawn", "", (table,), PICTURE), live=True)
    two_colours((64, 64), (200, 30, 30)).save(cells / names[0])
    open_workspace(page, "drawn")
    open_step(page, "test")
    page.locator("#sl-live", has_text="1 of 2 pictures").wait_for()
    sheet = page.frame_locator("#sl-live-sheet")
    sheet.locator(".pic:enabled img").wait_for()
    assert sheet.locator(".pic:disabled").count() == 1
    sheet.locator(".pic:enabled").click()
    sheet.locator("dialog[open] #name", has_text=names[0]).wait_for()
    other = page.context.browser.new_page(locale="en-US")
    other.add_init_script("window.opts = { localization: 'ja_JP' }")  # as the WebUI has it
    visit(other, served[0])
    open_workspace(other, "drawn")
    open_step(other, "test")
    other.frame_locator("#sl-live-sheet").locator("html[lang=ja]").wait_for()
    other.close()


def test_a_file_is_looked_into_baked_merged_and_cut(page: Any, served: tuple[str, Service]) -> None:
    _, service = served
    folder = service.workspace("eileen").root / "model" / "made"
    open_workspace(page, "eileen")
    open_step(page, "test")
    page.locator("#sl-files > summary").click()
    told = page.locator("#sl-files-told")
    page.locator("#sl-summary").click()
    told.get_by_text("rank 2").wait_for()
    told.locator("img").wait_for()
    for box in page.locator("#sl-files fieldset input[type=checkbox]").all()[:2]:
        box.check()
    page.locator("#sl-rank").fill("1")
    for number, verb in enumerate(("bake", "merge", "resize"), 1):
        page.locator(f"#sl-{verb}").click()
        page.wait_for_function(
            "count => document.querySelector('single-lora').shadowRoot"
            ".querySelectorAll('#sl-file option').length === 3 + count",
            arg=number,
        )
    assert len(list(folder.glob("*.safetensors"))) == 3


def test_a_second_browser_sees_the_job_and_the_other_s_edits(
    page: Any, served: tuple[str, Service]
) -> None:
    url, service = served
    made(service, "mara", {**QUICK, "caption.tagger": "none"}, ("prepare", "crop", "caption"))
    other = page.context.browser.new_page()
    visit(other, url)
    for each in (page, other):
        open_workspace(each, "mara")
        open_step(each, "train")
    page.locator("#sl-training-rank").fill("3")
    page.locator("#sl-training-rank").press("Tab")
    other.wait_for_function(
        "document.querySelector('single-lora').shadowRoot.querySelector('#sl-training-rank')"
        ".value === '3'"
    )
    page.locator("[data-run=train]").click()
    epoch = other.locator(".jobs").get_by_text(re.compile(r"epoch \d+ of 400"))
    epoch.first.wait_for(timeout=200_000)
    other.locator("[data-job=cancel]").click()
    for each in (page, other):
        each.locator(".jobs").get_by_text("finished work is kept").wait_for()
    other.close()


def test_a_deleted_character_comes_back(page: Any, served: tuple[str, Service]) -> None:
    _, service = served
    service.start(PICTURE, "gone", "woman")
    page.locator("#sl-workspace").click()
    page.locator("[data-workspace=gone]").wait_for()
    page.get_by_role("button", name="Delete gone").click()
    page.locator(".toast", has_text="gone is deleted").wait_for()
    assert "gone" not in service.names()
    page.locator(".toast button", has_text="Undo").click()
    page.locator("#sl-workspace", has_text="gone").wait_for()
    assert "gone" in service.names()


def test_a_character_is_searched_chosen_and_deleted_by_keys(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    for name in ("Quill", "quarry", "zinnia"):
        service.start(PICTURE, name, "woman")
    picker, found = page.locator("#sl-workspace"), page.locator("[data-workspace]")
    picker.press("Enter")
    page.locator("[data-workspace=zinnia]").wait_for()
    page.keyboard.type("QU")  # the search has the focus
    page.locator("[data-workspace=zinnia]").wait_for(state="detached")
    shown = found.evaluate_all("all => all.map(each => each.dataset.workspace)")
    assert sorted(shown) == ["Quill", "quarry"]
    page.keyboard.type("xx")
    page.locator(".picker-list").get_by_text("Nothing").wait_for()
    assert found.count() == 0
    page.keyboard.press("Escape")
    page.locator(".picker-list").wait_for(state="detached")
    page.locator("#sl-workspace:focus").press("Enter")
    page.locator("[data-workspace=zinnia]").wait_for()  # the search of before is forgotten
    page.keyboard.type("quil")
    page.keyboard.press("Enter")
    page.locator("#sl-workspace", has_text="Quill").wait_for()
    picker.click()
    page.get_by_role("button", name="Delete Quill").press("Enter")
    page.locator("#sl-workspace", has_text="New character").wait_for()  # it was the open one
    page.locator("[data-workspace=Quill]").wait_for(state="detached")
    assert "Quill" not in service.names()
    page.locator(".toast button", has_text="Undo").press("Enter")
    page.locator("#sl-workspace", has_text="Quill").wait_for()
    assert "Quill" in service.names()


def test_a_key_pressed_at_once_is_heard_by_what_has_just_opened(page: Any) -> None:
    """No frame lies between: a busy machine draws its next one long after the next key."""
    picker = page.locator("#sl-workspace")
    at_once = "await null; return button.getRootNode().activeElement"
    opened = f"async button => {{ button.click(); {at_once}.type }}"
    assert picker.evaluate(opened) == "search"
    page.keyboard.press("Escape")
    open_workspace(page, "eileen")
    page.locator("#sl-step-source").focus()
    pressed = "new KeyboardEvent('keydown', {key: '?', bubbles: true, composed: true})"
    helped = (
        f"async button => {{ button.dispatchEvent({pressed}); {at_once}.closest('dialog').open }}"
    )
    assert page.locator("#sl-step-source").evaluate(helped)
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")


def test_everything_runs_as_one_job_up_to_where_it_shall_stop(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    made(service, "halfway", {**QUICK, "caption.tagger": "none"}, ())
    before = len(service.runner.tickets)
    open_workspace(page, "halfway")
    page.locator("#sl-run").click()
    page.locator("#sl-run-until").select_option("crop")
    page.locator("#sl-run-now").click()
    page.locator("#sl-step-crops[data-state=done]").wait_for()
    page.locator(".jobs[data-state=done]").wait_for()
    page.locator("#sl-step-captions[data-state=ready]").wait_for()
    assert len(service.runner.tickets) == before + 1
    assert not service.workspace("halfway").record("caption").fingerprint


def test_a_lost_connection_is_said_and_mended(page: Any, served: tuple[str, Service]) -> None:
    url, _ = served
    page.route("**/v1/events?*", lambda route: route.abort())
    visit(page, url)
    page.locator(".lost").wait_for()
    page.unroute("**/v1/events?*")
    page.locator(".lost").wait_for(state="detached")
    page.locator(".jobs").wait_for()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_hangs_over_the_edge(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    open_workspace(page, "eileen")
    for step in ("source", "crops", "captions", "regularization", "train", "test"):
        open_step(page, step)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, step


def test_the_steps_are_reached_by_keys_alone(page: Any) -> None:
    open_workspace(page, "eileen")
    page.locator("#sl-step-source").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#sl-step-crops[aria-selected=true]").wait_for()
    page.keyboard.press("Alt+5")
    page.locator("#sl-step-train[aria-selected=true]").wait_for()
    page.keyboard.press("?")
    page.locator("dialog .keys").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")


def test_the_page_speaks_the_browser_s_language(page: Any, served: tuple[str, Service]) -> None:
    other = page.context.browser.new_page(locale="ja-JP")
    visit(other, served[0])
    other.get_by_text("すべて実行").wait_for()
    open_workspace(other, "eileen")
    open_step(other, "train")
    help_text = other.locator("#sl-training-rank-help").inner_text()
    assert "容量" in help_text and not re.search(r"[a-z]{4}", help_text)
    other.close()


def test_every_setting_has_its_label_help_and_group_in_japanese() -> None:
    written = (APP / "texts" / "ja.mjs").read_text(encoding="utf-8")
    texts = dict(re.findall(r'^    "([^"\n]+)": "(.*)",$', written, re.MULTILINE))
    names = {declared.name for declared in declarations()}
    keys = names | {f"{name}.help" for name in names}
    keys |= {f"group.{group_of(name)}" for name in names}
    wanted = {key if key.startswith("group.") else f"setting.{key}" for key in keys}
    own = {key for key in texts if re.match(r"group\.|setting\.[a-z]+\.[a-z0-9_]+(\.help)?$", key)}
    own -= {"setting.by_hand.help"}
    assert own == wanted
    proper = {"setting.training.tensorboard", "setting.inpaint.controlnet", "setting.inpaint.lora"}
    proper |= {"setting.training.clip_skip", "setting.training.ema"}
    latin = [key for key in wanted - proper if not re.search("[ぁ-ん一-龠ァ-ヶ]", texts[key])]
    assert latin == []
