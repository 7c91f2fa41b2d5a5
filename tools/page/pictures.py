"""Pictures of the tab in the real WebUI, with a finished workspace.

    SD_WEBUI_DIR=… SD_WEBUI_PYTHON=… python -m tools.page.pictures --workspace DIR [--out docs]

Writes webui.png, webui-dark.png, webui-390.png and journey.gif, the steps one after another.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from lib_singlelora.embedded.paths import CHECKPOINT
from tests.browser import CHROMIUM
from tests.webui.process import PROBE, ROOT, WebUI, python_of_webui, visit

WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 800}
FRAME = (800, 500)  # of the GIF, pixels
SHOWN = 1800  # of a frame, milliseconds
COLOURS = 160
# Step -> what is done there before its picture is taken, and what is scrolled to the top
STEPS = {
    "source": ("", "single-lora"),
    "crops": (".crop-row", "single-lora"),
    "captions": ("", "single-lora"),
    "regularization": ("", "single-lora"),
    "train": ("", ".steps"),
    "test": ("", ".steps"),
}


def data_folder(root: Path, workspace: Path) -> Path:
    """A WebUI's data: the embedded checkpoint and the workspace."""
    data = root / "data"
    (data / "models" / "Stable-diffusion").mkdir(parents=True)
    shutil.copy(CHECKPOINT, data / "models" / "Stable-diffusion" / "singlelora.safetensors")
    outputs = data / "outputs" / "singlelora"
    outputs.mkdir(parents=True)
    shutil.copytree(workspace, outputs / workspace.name)
    return data


def to_top(page: Any, place: str) -> None:
    """Scroll so that an element is at the top of the window."""
    page.locator(place).first.evaluate("found => found.scrollIntoView({block: 'start'})")
    page.mouse.move(5, 790)
    page.wait_for_timeout(2500)  # for pictures that are loaded once they are in sight


def opened(browser: Any, webui: WebUI, size: dict[str, int], theme: str, name: str) -> Any:
    """The tab with the character open, and no message over it."""
    page = browser.new_page(viewport=size, color_scheme=theme)
    page.set_default_timeout(60_000)
    webui_url, webui.url = webui.url, f"{webui.url}/?__theme={theme}"
    try:
        visit(webui, page)
    finally:
        webui.url = webui_url
    page.locator("#sl-workspace").click()
    page.locator(f"[data-workspace='{name}']").click()
    page.locator("#sl-step-test").click()
    page.frame_locator("#sl-sheet").locator("body").wait_for()
    return page


def walk(page: Any, folder: Path, name: str) -> list[Path]:
    """A picture of each step, the new character's form first."""
    page.locator("#sl-workspace").click()
    page.locator(".picker-list").get_by_text("New character").click()
    page.locator("#sl-new input[type=file]").set_input_files(ROOT / "examples" / f"{name}.png")
    page.locator("#sl-new .drop img").wait_for()
    page.locator("#sl-trigger").fill(name)
    frames = [folder / "0 new.png"]
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    page.screenshot(path=frames[0])
    page.locator("#sl-workspace").click()
    page.locator(f"[data-workspace='{name}']").click()
    for number, (step, (pressed, top)) in enumerate(STEPS.items(), 1):
        page.locator(f"#sl-step-{step}").click()
        page.locator(f".panel-{step}").wait_for()
        if pressed:
            page.locator(pressed).nth(1).click()
        to_top(page, top)
        frames.append(folder / f"{number} {step}.png")
        page.screenshot(path=frames[-1])
    to_top(page, "#sl-bench")
    frames.append(folder / "7 bench.png")
    page.screenshot(path=frames[-1])
    return frames


def animate(frames: list[Path], out: Path) -> None:
    """The pictures as a GIF."""
    images = []
    for path in frames:
        with Image.open(path) as image:
            small = image.convert("RGB").resize(FRAME, Image.Resampling.LANCZOS)
        images.append(small.quantize(COLOURS, dither=Image.Dither.NONE))
    images[0].save(
        out, save_all=True, append_images=images[1:], duration=SHOWN, loop=0, optimize=True
    )


def main() -> None:
    """Start the WebUI, look, and end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--frames", type=Path, help="keeps the GIF's frames there")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root = Path(scratch)
        frames = given.frames or root / "frames"
        frames.mkdir(parents=True, exist_ok=True)
        name = given.workspace.name
        data = data_folder(root, given.workspace.resolve())
        webui = WebUI(Path(os.environ["SD_WEBUI_DIR"]), python_of_webui(), data)
        (root / "single-image-lora").symlink_to(ROOT, target_is_directory=True)
        webui.extend(root / "single-image-lora", PROBE)
        try:
            webui.start()
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for file, size, theme in (
                ("webui.png", WIDE, "light"),
                ("webui-dark.png", WIDE, "dark"),
                ("webui-390.png", NARROW, "light"),
            ):
                page = opened(browser, webui, size, theme, name)
                to_top(page, "#tabs" if size == WIDE else "single-lora")
                page.screenshot(path=given.out / file)
                if file == "webui.png":
                    animate(walk(page, frames, name), given.out / "journey.gif")
                page.close()
            browser.close()
        finally:
            webui.kill()


if __name__ == "__main__":
    main()
