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
from tests.webui.test_browser import choose, open_step, open_workspace, our_problems

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
        yield tab
        browser.close()


def said(page: Any, text: str) -> None:
    """Wait for the sentence about the preset of the open character."""
    page.locator("#sl-preset", has_text=text).wait_for()


def offered(page: Any, checkpoint: str, preset: str) -> None:
    """Wait for what a new character would be trained with."""
    page.locator("#sl-new", has_text=f"checkpoint, {checkpoint},").wait_for()
    page.locator("#sl-new", has_text=f"“{preset}”").wait_for()


def value(page: Any, setting: str) -> str:
    return str(page.locator(f"#sl-training-{setting}").input_value())


def start(page: Any, trigger: str) -> None:
    """A new character from the example picture, not run yet, its training in sight."""
    page.locator("#sl-workspace").click()
    page.locator(".picker-list").get_by_text("New character").click()
    page.locator("#sl-new input[type=file]").set_input_files(ROOT / "examples" / "isabella.png")
    page.locator("#sl-new .drop img").wait_for()
    page.locator("#sl-trigger").fill(trigger)
    page.locator("#sl-start-only").click()
    open_step(page, "train")


def change(page: Any, setting: str, text: str) -> None:
    page.locator(f"#sl-training-{setting}").fill(text)
    page.locator(f"#sl-training-{setting}").press("Tab")
    page.locator(f"[data-setting='training.{setting}'] .badge").wait_for()


def test_a_page_from_before_the_checkpoint_trains_as_the_embedded_one_asks(
    bare: WebUI, opened: Any
) -> None:
    page = opened
    page.locator("#singlelora_embedded").click()
    page.locator("#singlelora_note", has_text="It is the only checkpoint").first.wait_for()
    offered(page, "singlelora", "embedded")
    start(page, "newcomer")
    said(page, "the loaded checkpoint 'singlelora' asks for it (its metadata)")
    assert (value(page, "preset"), value(page, "rank")) == ("embedded", "32")
    change(page, "epochs", "3")
    page.locator("#sl-run").click()
    page.locator("#sl-run-now").click()
    page.locator(".jobs", has_text="newcomer: everything").wait_for()
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
    start(page, "second")
    change(page, "rank", "9")
    page.locator("#refresh_sd_model_checkpoint").click()
    page.wait_for_timeout(2000)
    choose(page, "#setting_sd_model_checkpoint", "small")
    said(page, "the loaded checkpoint 'small' asks for no other")
    assert (value(page, "preset"), value(page, "rank"), value(page, "alpha")) == (
        "recommended",
        "9",
        "16",
    )
    open_workspace(page, "newcomer")  # its training has begun
    open_step(page, "train")
    said(page, "'singlelora' asked for it when training began")
    said(page, "'small' asks for 'recommended'. As training has begun, the preset stays")
    assert value(page, "preset") == "embedded"
    choose(page, "#setting_sd_model_checkpoint", "singlelora")
    open_workspace(page, "second")
    open_step(page, "train")
    change(page, "preset", "quick")
    said(page, "you chose it. The loaded checkpoint 'singlelora' asks for 'embedded'")
    assert (value(page, "preset"), value(page, "alpha")) == ("quick", "8")
    assert our_problems(page) == []
