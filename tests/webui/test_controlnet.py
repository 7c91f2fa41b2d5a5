"""The real extension ControlNet: its units are offered in the inpainting bench, and take part.

SD_WEBUI_CONTROLNET names a checkout of sd-webui-controlnet, whose packages the WebUI's Python has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.browser import CHROMIUM, needs_chromium
from tests.small_checkpoint import build_small_checkpoint
from tests.webui.conftest import link_of, new_workspace
from tests.webui.process import PROBE, WebUI, python_of_webui, visit

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.environ.get("SD_WEBUI_CONTROLNET"), reason="needs ControlNet"),
    needs_chromium,
]


@pytest.fixture(scope="module")
def with_controlnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """A WebUI with the product and ControlNet."""
    data = tmp_path_factory.mktemp("webui with controlnet")
    checkpoints = data / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True)
    build_small_checkpoint(checkpoints, dtype=torch.float16)
    process = WebUI(Path(os.environ["SD_WEBUI_DIR"]), python_of_webui(), data)
    product = link_of(tmp_path_factory.mktemp("product"))
    process.extend(product, PROBE, Path(os.environ["SD_WEBUI_CONTROLNET"]))
    try:
        process.start()
        yield process
    finally:
        process.kill()


def test_its_units_are_in_the_bench_and_take_part(with_controlnet: WebUI) -> None:
    from playwright.sync_api import sync_playwright

    webui = with_controlnet
    assert "reference" in webui.ask("/singlelora/v1/host")["controls"]
    name = new_workspace(webui, "controlled", training__epochs=1)
    webui.prepared(name)
    assert webui.ended(webui.submit(name, "train"))["state"] == "done"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        visit(webui, page)
        page.locator("#sl-workspace").click()
        page.locator(f"[data-workspace='{name}']").click()
        page.locator("#sl-step-test").click()
        unit = page.locator("#sl-bench-inpaint-controlnet")
        assert set(unit.locator("option").all_inner_texts()) == {"off", "reference"}
        unit.select_option("reference")
        page.locator("#sl-controls .badge").first.wait_for()  # it is saved
        if folder := os.environ.get("SD_WEBUI_SHOTS"):
            page.locator("#sl-bench").screenshot(path=Path(folder) / "controlnet.png")
        page.locator("[data-run=inpaint]").click()
        page.locator("#sl-inpainted img").first.wait_for(timeout=300_000)
        browser.close()
    result = webui.ask(f"/singlelora/v1/workspaces/{name}/glance")["inpainted"][0]
    path = webui.data / "outputs" / "singlelora" / name / result
    with Image.open(path) as image:
        assert "ControlNet 0" in image.info["parameters"]
        assert "reference" in image.info["parameters"]
