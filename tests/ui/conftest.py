"""The standalone page on a free port, and a browser that looks at it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import CHROMIUM

if TYPE_CHECKING:
    from lib_singlelora.hosts.standalone.host import StandaloneHost
    from lib_singlelora.service.service import Service


# What gradio itself asks of a network (fonts), and what it says of the requests that a reload
# breaks off, is none of ours.
KNOWN = ("Failed to load resource", "ERR_", "AbortError", "Connection errored out")


@pytest.fixture(scope="module")
def served(
    standalone_host: StandaloneHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Service]]:
    import uvicorn

    from lib_singlelora.service.service import Service
    from lib_singlelora.ui.serve import application

    root = tmp_path_factory.mktemp("workspaces")
    service = Service(standalone_host, lambda: root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(application(service), host="127.0.0.1", port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}", service
    for ticket in service.runner.tickets:  # a test that failed leaves no job to the tests after it
        service.runner.cancel(ticket.number)
        ticket.wait(60)
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def page(served: tuple[str, Service]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.set_default_timeout(90_000)
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        visit(opened, served[0])
        yield opened
        browser.close()
        assert [p for p in problems if not any(known in p for known in KNOWN)] == []


def visit(page: Any, url: str) -> None:
    page.goto(url)
    page.locator("#singlelora_run").wait_for()
