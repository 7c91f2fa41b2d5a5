"""axe-core looks at every step, light and dark, where npm has put it into node_modules/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")
pytest.importorskip("gradio", minversion="4")

from lib_singlelora.service.service import Service
from lib_singlelora.ui.serve import application
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.substeps import CLEANED, substep_file
from tests.browser import CHROMIUM, needs_chromium
from tests.stages.quiet_host import QuietHost
from tests.two_colours import two_colours
from tests.ui.conftest import open_step, open_workspace, serving, visit

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [
    needs_chromium,
    pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: npm install --no-save axe-core"),
]
STEPS = ("source", "crops", "captions", "regularization", "train", "test")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with a workspace whose data set is there."""
    root = tmp_path_factory.mktemp("axe")
    two_colours((96, 96), (200, 30, 30)).save(root / "picture.png")
    service = Service(QuietHost(), lambda: root / "workspaces")  # type: ignore[arg-type]
    service.start(root / "picture.png", "mara", "girl")
    workspace = service.workspace("mara")
    two_colours((128, 128), (200, 30, 30)).save(workspace.prepared)
    two_colours((128, 128), (255, 255, 255)).convert("L").save(workspace.mask)
    folder = workspace.image_folder(workspace.load_settings())
    folder.mkdir(parents=True)
    two_colours((64, 64), (200, 30, 30)).save(folder / "face.png")
    (folder / "face.txt").write_text("mara, girl, smile, white background", encoding="utf-8")
    views = {"face": {"box": [0, 0, 64, 64], "pixels": [64, 64], "bucket": [512, 512]}}
    traits = [{"tag": "blue eyes", "category": "eye colour", "seen": 1, "visible": 1}]
    data = {"seen": {"face": ["smile", "blue eyes"]}, "traits": traits}
    two_colours((128, 128), (200, 30, 30)).save(substep_file(workspace, CLEANED))
    workspace.save_record(StageRecord("prepare", "x", True, {}, {"substeps": [CLEANED]}))
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    workspace.save_record(StageRecord("caption", "x", True, {}, data))
    with serving(application(service)) as port:
        yield f"http://127.0.0.1:{port}"


def violations(page: Any) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        """async () => (await axe.run("single-lora", {resultTypes: ["violations"]})).violations
            .filter(one => ["serious", "critical"].includes(one.impact))
            .map(one => `${one.id}: ${one.nodes.slice(0, 3).map(
                node => node.html.slice(0, 120) + " " + node.failureSummary.slice(0, 200))}`)"""
    )
    return list(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_violation_on_any_step(url: str, theme: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        visit(page, f"{url}/?__theme={theme}")
        page.wait_for_timeout(500)
        found = {"new": violations(page)}
        open_workspace(page, "mara")
        for step in STEPS:
            open_step(page, step)
            page.wait_for_timeout(500)
            found[step] = violations(page)
        browser.close()
    assert {step: told for step, told in found.items() if told} == {}
