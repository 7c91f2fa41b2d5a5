"""Ctrl-C ends the page's program quietly, also while a browser has the page open."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from tests.browser import CHROMIUM, needs_chromium
from tests.ui.conftest import visit

ROOT = Path(__file__).parents[2]


@needs_chromium
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_an_open_page_does_not_keep_the_program_from_ending_quietly(tmp_path: Path) -> None:
    from playwright.sync_api import Error as PlaywrightError
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "lib_singlelora", "ui", "--port", str(port)]
    program = subprocess.Popen(
        [*command, "--workspaces", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stderr is not None
        while "http://" not in (line := program.stderr.readline()):
            assert line, "it ended before it listened"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            for _ in range(50):  # it says its address a moment before it listens
                try:
                    visit(page, f"http://127.0.0.1:{port}")
                    break
                except PlaywrightError:
                    page.wait_for_timeout(200)
            page.locator(".jobs").wait_for()
            program.send_signal(signal.SIGINT)
            out, error = program.communicate(timeout=30)
            browser.close()
    finally:
        program.kill()
    assert (program.returncode, out, error) == (0, "", "")
