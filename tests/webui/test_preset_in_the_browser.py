"""The training preset in the real WebUI's tab: a page that was built before there was a checkpoint,
the checkpoint changed by the WebUI's own list, and values changed by hand.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_singlelora.embedded.paths import CHECKPOINT
from tests.browser import CHROMIUM, needs_chromium
from tests.small_checkpoint import build_small_checkpoint
from tests.webui.conftest import link_of
from tests.webui.process import PROBE, ROOT, WebUI, python_of_webui, visit
from tests.webui.test_browser import choose, our_problems

pytestmark = [
    pytest.mark.timeout(1200),
    needs_chromium,
    pytest.mark.skipif(not CHECKPOINT.exists(), reason="needs the embedded checkpoint"),
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI without any checkpoint, as it is after it was installed."""
    data = tmp_path_factory.mktemp("bare webui")
    (data / "models" / "Stable-diffusion").mkdir(parents=True)
    process = WebUI(Path(os.environ["SD_WEBUI_DIR"]), python_of_webui(), data)
    process.extend(link_of(tmp_path_factory.mktemp("extension")), PROBE)
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def opened(bare: WebUI) -> Iterator[Any]:
    """The tab of the WebUI without a checkpoint; the tests go on with it one after another."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.set_default_timeout(60_000)
        tab.problems = []
        tab.on("pageerror", lambda error: tab.problems.append(error.stack or str(error)))
        visit(bare, tab)
        tab.locator("#singlelora_train .label-wrap").first.click()
        yield tab
        browser.close()


def value(page: Any, setting: str) -> str:
    return str(page.locator(f"#singlelora_{setting} input").first.input_value())


def wait_for_value(page: Any, setting: str, expected: str) -> None:
    page.wait_for_function(
        "([name, value]) => document.querySelector(`#singlelora_${name} input`).value === value",
        arg=[setting, expected],
    )


def said(page: Any, text: str) -> None:
    """Wait for the sentence about the preset, in both its places."""
    for place in ("preset", "preset_beside"):
        page.locator(f"#singlelora_{place}", has_text=text).first.wait_for()


def shot(page: Any, name: str) -> None:
    """Pictures of the form, wide and narrow, light and dark, into the folder SD_WEBUI_SHOTS."""
    if not (folder := os.environ.get("SD_WEBUI_SHOTS")):
        return
    for theme in ("light", "dark"):
        page.evaluate(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            page.locator("#singlelora_run").scroll_into_view_if_needed()
            page.wait_for_timeout(500)
            page.screenshot(path=Path(folder) / f"{name} {theme} {width}.png")
            page.locator("#singlelora_preset_beside").first.evaluate(
                "place => place.scrollIntoView()"
            )
            page.wait_for_timeout(500)
            page.screenshot(path=Path(folder) / f"{name} beside {theme} {width}.png")
    page.evaluate("document.body.classList.remove('dark')")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_page_from_before_the_checkpoint_trains_as_the_embedded_one_asks(
    bare: WebUI, opened: Any
) -> None:
    page = opened
    said(page, "recommended, because no checkpoint was loaded yet")
    shot(page, "no checkpoint")
    page.locator("#singlelora_embedded").click()
    page.locator("#singlelora_note", has_text="It is the only checkpoint").first.wait_for()
    said(page, "embedded, because the loaded checkpoint 'singlelora' asks for it (its metadata)")
    wait_for_value(page, "training_preset", "embedded")
    assert (value(page, "training_rank"), value(page, "training_unet_lr")) == ("32", "0.004")
    shot(page, "embedded")
    page.locator("#singlelora_picture input[type=file]").set_input_files(
        ROOT / "examples" / "isabella.png"
    )
    page.locator("#singlelora_picture img").wait_for()
    page.locator("#singlelora_trigger textarea, #singlelora_trigger input").first.fill("newcomer")
    page.locator("#singlelora_training_epochs input").first.fill("3")
    page.locator("#singlelora_run").click()
    page.locator("#singlelora_job").first.get_by_text("newcomer: run").wait_for()
    bare.training_step(1, 1, timeout=400)
    told = bare.ask("/singlelora/v1/workspaces/newcomer")
    training = told["settings"]["training"]
    assert (training["preset"], training["rank"], training["epochs"]) == ("embedded", 32, 3)
    assert told["settings"]["prepare"]["square"] is True
    assert told["training_preset"]["whose"] == "checkpoint"
    assert len(told["regularization"]) == 24 and told["stages"]["regularize"] == "done"
    budget = bare.data / "outputs" / "singlelora" / "newcomer" / "log" / "train.json"
    assert "of 24 regularization pictures are used" in budget.read_text(encoding="utf-8")
    bare.ask("/singlelora/v1/jobs/1/cancel", {})
    assert bare.ended(1)["state"] == "cancelled"
    assert our_problems(page) == []


def test_the_form_follows_the_webuis_own_list_and_what_was_changed_by_hand_stays(
    bare: WebUI, opened: Any, tmp_path: Path
) -> None:
    page = opened
    small = build_small_checkpoint(tmp_path, dtype=torch.float16, name="small")
    for file in small.parent.glob(f"{small.stem}.*"):
        shutil.copy(file, bare.data / "models" / "Stable-diffusion")
    choose(page, "#singlelora_workspace", "(new character)")
    page.locator("#singlelora_training_rank input").first.fill("9")
    page.locator("#refresh_sd_model_checkpoint").click()
    page.wait_for_timeout(2000)
    choose(page, "#setting_sd_model_checkpoint", "small")
    said(page, "recommended, because the loaded checkpoint 'small' asks for no other")
    wait_for_value(page, "training_preset", "recommended")
    assert (value(page, "training_rank"), value(page, "training_alpha")) == ("9", "16")
    choose(page, "#singlelora_workspace", "newcomer")  # its training has begun
    said(page, "'singlelora' asked for it when training began")
    said(page, "'small' asks for 'recommended'. As training has begun, the preset stays")
    wait_for_value(page, "training_preset", "embedded")
    shot(page, "begun")
    choose(page, "#setting_sd_model_checkpoint", "singlelora")
    choose(page, "#singlelora_workspace", "(new character)")
    choose(page, "#singlelora_training_preset", "quick")
    said(
        page, "quick, because you chose it. The loaded checkpoint 'singlelora' asks for 'embedded'"
    )
    wait_for_value(page, "training_alpha", "8")
    shot(page, "by hand")
    page.wait_for_timeout(3000)  # the page has polled again
    assert value(page, "training_preset") == "quick"
    assert our_problems(page) == []
