"""The page in headless Chromium: its weight, 60 captions, a large crop, a large sheet.

    python -m tools.page.measure

Prints one JSON object: bytes as sent, milliseconds until 60 captions are shown, frames a second
while a crop is dragged, the longest frame in milliseconds; while a sheet of 240 cells is scrolled
from top to bottom, the frames a second and the longest task in milliseconds (0: none over 50).
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, cast

from PIL import Image, ImageDraw

from lib_singlelora.host import Host
from lib_singlelora.service.service import Service
from lib_singlelora.sheets.page import Page, PageCell, PageTable, write_page
from lib_singlelora.workspace.stage_record import StageRecord
from tests.stages.quiet_host import QuietHost

SIDE = 4096
CAPTIONS = 60
ROWS, COLUMNS = 20, 12  # of the sheet
TAGS = "mara, girl, solo, smile, standing, outdoors, tree, blue sky, looking at viewer, open mouth"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DRAG = """async () => {
    const root = document.querySelector("single-lora").shadowRoot;
    const canvas = root.querySelector("#sl-crops canvas:last-child");
    const box = canvas.getBoundingClientRect();
    const at = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId: 1, button: 0, bubbles: true, clientX: box.left + x, clientY: box.top + y}));
    canvas.setPointerCapture = () => {};
    const [cx, cy] = [box.width / 2, box.height / 2];
    at("pointerdown", cx, cy);
    const times = [];
    await new Promise(done => {
        const frame = now => {
            times.push(now);
            const turn = times.length / 20;
            at("pointermove", cx + 60 * Math.sin(turn), cy + 60 * Math.cos(turn));
            if (times.length < 180) requestAnimationFrame(frame);
            else done();
        };
        requestAnimationFrame(frame);
    });
    at("pointerup", cx, cy);
    const gaps = times.slice(1).map((time, index) => time - times[index]);
    return {fps: 1000 * gaps.length / (times.at(-1) - times[0]), longest: Math.max(...gaps)};
}"""
SCROLL = """async () => {
    const tasks = [];
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(each => each.duration)))
        .observe({type: "longtask"});
    const whole = document.scrollingElement;
    const times = [];
    await new Promise(done => {
        const frame = now => {
            times.push(now);
            scrollTo(0, (whole.scrollHeight - innerHeight) * times.length / 180);
            if (times.length < 180) requestAnimationFrame(frame);
            else done();
        };
        requestAnimationFrame(frame);
    });
    await new Promise(done => setTimeout(done, 500));
    return {cells: document.querySelectorAll(".cell").length, longest: Math.max(0, ...tasks),
        fps: 1000 * (times.length - 1) / (times.at(-1) - times[0])};
}"""
OPEN = """async () => {
    const root = document.querySelector("single-lora").shadowRoot;
    const began = performance.now();
    root.querySelector("#sl-step-captions").click();
    while (root.querySelectorAll("[data-caption]").length < 60) {
        await new Promise(requestAnimationFrame);
    }
    await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""


def workspace_in(root: Path) -> Service:
    """A service with one workspace: a large picture, 60 crops with captions."""
    service = Service(cast(Host, QuietHost()), lambda: root / "workspaces")
    picture = Image.new("RGB", (SIDE, SIDE), (240, 240, 240))
    pen = ImageDraw.Draw(picture)
    for number in range(400):
        left, top = (number * 977) % SIDE, (number * 1499) % SIDE
        colour = ((number * 37) % 255, (number * 91) % 255, (number * 53) % 255)
        pen.ellipse((left, top, left + 300, top + 300), fill=colour)
    picture.save(root / "picture.png")
    service.start(root / "picture.png", "mara", "girl")
    workspace = service.workspace("mara")
    picture.save(workspace.prepared)
    Image.new("L", (SIDE, SIDE), 255).save(workspace.mask)
    folder = workspace.image_folder(workspace.load_settings())
    folder.mkdir(parents=True)
    views = {}
    for number in range(CAPTIONS):
        name = f"view_{number:02d}"
        picture.resize((128, 128)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(TAGS, encoding="utf-8")
        left = 1000 + number
        views[name] = {"box": [left, 1000, left + 2000, 3000], "pixels": [2000, 2000]}
    workspace.save_record(StageRecord("prepare", "x", True))
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    workspace.save_record(StageRecord("caption", "x", True, {}, {}))
    write_sheet(workspace.plots)
    return service


def write_sheet(folder: Path) -> None:
    """A sheet's page of 240 cells, each with a picture of its own."""
    pictures = folder / "cells"
    pictures.mkdir(parents=True)
    rows = []
    for row in range(ROWS):
        cells = []
        for column in range(COLUMNS):
            path = pictures / f"{row:02d}{column:02d}.png"
            Image.effect_noise((256, 256), 20 + row + column).convert("RGB").save(path)
            scores = {"retention": row / ROWS, "flexibility": column / COLUMNS, "value": 0.5}
            name = f"epoch {row + 1} at {column / COLUMNS:.2f}"
            cells.append(PageCell(name, TAGS, "", (path,), (1,), scores))
        rows.append(tuple(cells))
    labels = tuple(f"epoch {row + 1}" for row in range(ROWS))
    columns = tuple(f"{column / COLUMNS:.2f}" for column in range(COLUMNS))
    base = PageTable("Without the LoRA", ("",), ("",), ((rows[0][0],),))
    tables = (base, PageTable("ALL", labels, columns, tuple(rows)))
    source = pictures / "0000.png"
    write_page(folder / "sheet.html", Page("mara", "", tables, source))


def serve(service: Service) -> str:
    """The page's address; it is served until the program ends."""
    import uvicorn

    from lib_singlelora.ui.serve import application

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = uvicorn.Config(application(service), port=port, log_level="warning")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.1)
    return f"http://127.0.0.1:{port}"


def measure(url: str) -> dict[str, Any]:
    """The figures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, CHROMIUM)), None)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sent: list[int] = []
        page.on(
            "requestfinished",
            lambda request: (
                sent.append(int(request.sizes()["responseBodySize"]))
                if "/v1/app/" in request.url
                else None
            ),
        )
        page.goto(url)
        page.locator("#sl-workspace").click()
        page.locator("[data-workspace=mara]").click()
        page.locator("#sl-step-crops").click()
        page.locator("#sl-crops").wait_for()
        page.wait_for_timeout(5000)
        drag = page.evaluate(DRAG)
        page.locator("#sl-step-source").click()
        page.wait_for_timeout(3000)
        opened = page.evaluate(OPEN)
        page.goto(f"{url}/singlelora/v1/workspaces/mara/files/plots/sheet.html")
        page.wait_for_timeout(3000)
        sheet = page.evaluate(SCROLL)
        browser.close()
    return {
        "bytes": sum(sent),
        "requests": len(sent),
        "captions_ms": round(opened),
        "drag_fps": round(drag["fps"], 1),
        "longest_frame_ms": round(drag["longest"], 1),
        "sheet_cells": sheet["cells"],
        "sheet_fps": round(sheet["fps"], 1),
        "sheet_longest_task_ms": round(sheet["longest"], 1),
    }


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(serve(workspace_in(Path(folder))))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
