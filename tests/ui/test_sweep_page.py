"""“Try several” beside a setting: the count before it starts, the trials, their results."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")
pytest.importorskip("optuna")

from lib_singlelora.service.service import Service
from tests.browser import needs_chromium
from tests.stages.conftest import SMALL
from tests.sweeps.conftest import own_presets as own_presets
from tests.ui.conftest import made, open_step, open_workspace, visit

pytestmark = needs_chromium
VALUES = {
    **{name: value for name, value in SMALL.items() if not name.startswith("character.")},
    "crop.views": ["portrait"],
    "training.epochs": 1,
    "training.repeats": 1,
    "training.early_stop_pictures": 1,
}


def test_several_values_are_tried_and_compared(
    page: Any, served: tuple[str, Service], own_presets: Any
) -> None:
    url, service = served
    made(service, "several", VALUES, ("prepare", "crop", "caption"))
    visit(page, url)
    open_workspace(page, "several")
    open_step(page, "train")
    assert page.locator("#sl-sweep-start").count() == 0
    page.locator("[data-setting='training.rank']").get_by_text("try several").click()
    values = page.locator("#sl-try-training-rank")
    assert values.input_value() == "1,2,4"
    plan = page.locator("#sl-sweep-plan")
    plan.get_by_text("3 trials").wait_for()
    values.fill("2,many")
    page.locator("#sl-sweep-plan.bad", has_text="many").wait_for()
    assert page.locator("#sl-sweep-start").is_disabled()
    values.fill("2,3")
    plan.get_by_text("2 trials").wait_for()
    page.locator("#sl-sweep-start").click()
    rows = page.locator("#sl-sweep .trials tbody tr")
    page.locator("#sl-sweep").get_by_text("is saved as the preset").wait_for(timeout=240_000)
    assert rows.count() == 2
    pictures = page.locator("#sl-sweep .wide-picture")
    assert pictures.count() == 2
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        picture.evaluate("image => image.decode()")  # fails for one that is no picture
    assert [path.stem.partition(" ")[0] for path in own_presets.iterdir()] == ["several"]
