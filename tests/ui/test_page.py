"""The standalone page in a real browser, on the small checkpoint: upload, run, reload, cancel, go
on.
"""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")


from lib_singlelora.service.service import Service
from tests.browser import needs_chromium
from tests.ui.conftest import visit

PICTURE = Path(__file__).parent.parent / "data" / "astronaut.png"
pytestmark = needs_chromium
QUICK = {
    "prepare_long_side": "256",
    "regularization_count": "1",
    "regularization_steps": "2",
    "training_repeats": "1",
    "training_epochs": "400",
    "training_rank": "2",
    "plot_strengths": "1",
    "plot_steps": "2",
    "inpaint_count": "1",
    "inpaint_steps": "2",
}
SECTIONS = {
    "prepare": "prepare",
    "regularization": "regularize",
    "training": "train",
    "plot": "plot",
    "inpaint": "inpaint",
}


def open_workspace(
    page: Any,
    served: tuple[str, Service],
    name: str,
    values: dict[str, object],
    stages: tuple[str, ...],
) -> None:
    """Choose a workspace on the page; a missing one is made and its stages are run."""
    url, service = served
    if name not in service.names():
        service.start(PICTURE, name, "woman", name)
        service.change(name, values)
        for word in stages:
            assert service.submit(name, word).wait(120).error is None
    visit(page, url)
    page.wait_for_timeout(2000)
    page.locator("#singlelora_workspace input").first.click()
    page.locator("#singlelora_workspace, body").get_by_role(
        "option", name=name, exact=True
    ).first.click()


def type_in(page: Any, values: dict[str, str]) -> None:
    """Fill fields by the names of their elements, until they hold: a section that was just opened
    lays its values once more.
    """
    fields = {
        page.locator(f"#singlelora_{name} input, #singlelora_{name} textarea").first: text
        for name, text in values.items()
    }
    for _ in range(20):
        for field, value in fields.items():
            field.fill(value)
        page.wait_for_timeout(400)
        fields = {field: value for field, value in fields.items() if field.input_value() != value}
        if not fields:
            return
    assert not fields, "these fields do not keep what is typed into them"


def fill_section(page: Any, stage: str, values: dict[str, str]) -> None:
    """A stage's settings, opened and filled."""
    page.locator(f"#singlelora_{stage} button.label-wrap").first.click()
    type_in(page, values)


def test_a_mistake_is_told_and_the_form_stays(page: Any) -> None:
    page.locator("#singlelora_run").click()
    page.locator("#singlelora_note", has_text="found no picture").wait_for()


def test_upload_run_reload_cancel_go_on(page: Any, served: tuple[str, Service]) -> None:
    url, service = served
    page.locator("#singlelora_picture input[type=file]").set_input_files(PICTURE)
    page.locator("#singlelora_picture img").wait_for()
    type_in(page, {"trigger": "eileen", "class": "woman"})
    for section, stage in SECTIONS.items():
        fill_section(
            page, stage, {name: value for name, value in QUICK.items() if name.startswith(section)}
        )
    page.locator("#singlelora_run").click()
    page.locator("#singlelora_job .singlelora-bar").wait_for()
    visit(page, url)  # the browser is reloaded in the middle
    job = page.locator("#singlelora_job")
    job.get_by_text("eileen: run").wait_for()
    job.get_by_text(re.compile(r"epoch \d+ of 400")).first.wait_for()
    page.locator("#singlelora_cancel").click()
    job.get_by_text("goes on where it stopped").wait_for()
    # The form was filled from the workspace that ran; two epochs are enough now.
    trigger = page.locator("#singlelora_trigger input, #singlelora_trigger textarea").first
    for _ in range(60):
        if trigger.input_value() == "eileen":
            break
        page.wait_for_timeout(500)
    assert trigger.input_value() == "eileen"
    fill_section(page, "train", {"training_epochs": "2"})
    page.locator("#singlelora_run").click()
    page.locator(
        '#singlelora_job [data-state="running"], #singlelora_job [data-state="done"]'
    ).wait_for()
    assert service.settings("eileen").training.epochs == 2
    job.get_by_text("eileen: run: done").wait_for(timeout=200_000)
    page.locator("#singlelora_sheet img").wait_for()
    page.locator("#singlelora_results .singlelora-take").wait_for()
    assert set(service.results("eileen")["loras"]) == {"eileen-000001", "eileen"}


def test_an_inpainted_picture_is_kept_and_becomes_the_next_version(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    visit(page, served[0])
    page.wait_for_timeout(2000)
    page.locator("#singlelora_workspace input").first.click()
    page.locator("#singlelora_workspace, body").get_by_role(
        "option", name="eileen", exact=True
    ).first.click()
    page.locator("#singlelora_keep").wait_for()
    page.locator("#singlelora_plot button.label-wrap").first.click()
    page.locator("#singlelora_show_presets").click()
    page.locator("#singlelora_presets img").wait_for()
    page.locator("#singlelora_inpaint button.label-wrap").first.click()
    page.locator("#singlelora_suggest").click()
    prompt = page.locator(
        "#singlelora_inpaint_prompt textarea, #singlelora_inpaint_prompt input"
    ).first
    for _ in range(40):
        if prompt.input_value().startswith("eileen, woman, solo"):
            break
        page.wait_for_timeout(250)
    assert prompt.input_value().startswith("eileen, woman, solo")
    page.locator("#singlelora_inpainted button img").first.click()
    page.locator("#singlelora_keep").click()
    page.locator("#singlelora_note", has_text="inpaint/accepted/").wait_for()
    assert len(service.results("eileen")["accepted"]) == 1
    page.locator("#singlelora_again").click()
    page.locator("#singlelora_note", has_text="eileen-v2").wait_for()
    page.locator("#singlelora_job").get_by_text("eileen: loopback: done").wait_for()
    assert (
        service.results("eileen-v2")["version"] == 2 and service.results("eileen-v2")["generated"]
    )


def test_a_page_that_is_opened_later_offers_the_workspaces_that_came_since(
    page: Any, served: tuple[str, Service]
) -> None:
    _, service = served
    name = service.start(PICTURE, "latecomer", "woman")
    visit(page, served[0])
    page.wait_for_timeout(3000)
    page.locator("#singlelora_workspace input").first.click()
    page.locator("#singlelora_workspace, body").get_by_role("option", name=name).first.click()
    trigger = "#singlelora_trigger input, #singlelora_trigger textarea"
    page.wait_for_function(f"document.querySelector('{trigger}').value == 'latecomer'")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_hangs_over_the_edge(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
