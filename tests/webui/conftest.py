"""One WebUI for the tests in this folder, which are skipped where none is installed.

SD_WEBUI_DIR may name Forge or reForge too: a run for each program.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.browser import CHROMIUM
from tests.small_checkpoint import build_small_checkpoint
from tests.webui.process import PROBE, ROOT, WebUI, python_of_webui, visit

FAST = {
    "prepare.long_side": 512,
    "regularization.count": 2,
    "regularization.steps": 3,
    "regularization.filter": False,
    "training.epochs": 2,
    "training.repeats": 1,
    "training.rank": 4,
    "training.unet_lr": 0.02,
    "training.warmup": 0,
    "plot.steps": 3,
    "plot.strengths": "1",
    "plot.presets": "ALL,OUTD",
    "inpaint.count": 1,
    "inpaint.steps": 3,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = not os.environ.get("SD_WEBUI_DIR")
    for item in items:
        if missing and Path(__file__).parent in item.path.parents:
            item.add_marker(
                pytest.mark.skip(
                    reason="needs a WebUI (or Forge, reForge): SD_WEBUI_DIR, SD_WEBUI_PYTHON"
                )
            )


def link_of(tmp: Path) -> Path:
    """The product under the folder name of an extension."""
    link = tmp / "single-image-lora"
    link.symlink_to(ROOT, target_is_directory=True)
    return link


@pytest.fixture(scope="session")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """The WebUI with the product, the probe and two small checkpoints.

    LBW is there too where SD_WEBUI_LBW names a checkout.
    """
    data = tmp_path_factory.mktemp("webui data")  # with a space, as many have
    checkpoints = data / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True)
    build_small_checkpoint(checkpoints, dtype=torch.float16)  # as most are
    build_small_checkpoint(checkpoints, seed=1, name="z other")
    process = WebUI(Path(os.environ["SD_WEBUI_DIR"]), python_of_webui(), data)
    process.extend(link_of(tmp_path_factory.mktemp("extension")), PROBE)
    if lbw := os.environ.get("SD_WEBUI_LBW"):
        process.extend(Path(lbw))
    if process.kind == "reforge":  # whose usual previews fetch a model
        cheap = '{"show_progress_type": "Approx cheap"}'
        (data / "config.json").write_text(cheap, encoding="utf-8")
    try:
        process.start()
        yield process
    finally:
        process.kill()


def new_workspace(webui: WebUI, name: str, **settings: object) -> str:
    """A workspace of the example character with quick settings."""
    picture = base64.b64encode((ROOT / "examples" / "isabella.png").read_bytes()).decode()
    fast = {**FAST, **{key.replace("__", "."): value for key, value in settings.items()}}
    answer = webui.ask(
        "/singlelora/v1/workspaces",
        {
            "picture": picture,
            "trigger": "isabella",
            "class_token": "girl",
            "name": name,
            "settings": fast,
        },
    )
    return str(answer["workspace"])


@pytest.fixture
def page(webui: WebUI) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.set_default_timeout(60_000)
        tab.problems = []

        def note(message: Any) -> None:
            if message.type == "error":
                tab.problems.append(message.text)

        tab.on("pageerror", lambda error: tab.problems.append(error.stack or str(error)))
        tab.on("console", note)
        visit(webui, tab)
        yield tab
        browser.close()
