"""The standalone page on a free port, and a browser that looks at it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import CHROMIUM

if TYPE_CHECKING:
    from lib_singlelora.hosts.standalone.host import StandaloneHost
    from lib_singlelora.service.service import Service


PICTURE = Path(__file__).parent.parent / "data" / "astronaut.png"
# What gradio itself asks of a network (fonts), and what it says of the requests that a reload
# breaks off, is none of ours.
KNOWN = ("Failed to load resource", "ERR_", "AbortError", "Connection errored out")


@contextmanager
def serving(application: Any) -> Iterator[int]:
    """An application on a free port of this machine, which is given."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.1)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def served(
    standalone_host: StandaloneHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Service]]:
    from lib_singlelora.service.service import Service
    from lib_singlelora.ui.serve import application

    root = tmp_path_factory.mktemp("workspaces")
    service = Service(standalone_host, lambda: root)
    with serving(application(service)) as port:
        yield f"http://127.0.0.1:{port}", service
        # a test that failed leaves no job to the tests after it
        for ticket in service.runner.tickets:
            service.runner.cancel(ticket.number)
            ticket.wait(60)


@pytest.fixture
def page(served: tuple[str, Service]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.set_default_timeout(60_000)
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
    page.locator("#sl-workspace").wait_for()


def open_workspace(page: Any, name: str) -> None:
    """Choose a workspace in the page's own list."""
    page.locator("#sl-workspace").click()
    page.locator(f"[data-workspace='{name}']").click()
    page.locator("#sl-step-source").wait_for()


def open_step(page: Any, name: str) -> None:
    page.locator(f"#sl-step-{name}").click()
    page.locator(f".panel-{name}").wait_for()


def made(service: Service, name: str, values: dict[str, object], stages: tuple[str, ...]) -> None:
    """A workspace whose stages were run; one that is there stays as it is."""
    if name in service.names():
        return
    service.start(PICTURE, name, "woman", name)
    service.change(name, values)
    for word in stages:
        assert service.submit(name, word).wait(120).error is None


def until(page: Any, is_so: Callable[[], object]) -> None:
    """Wait until something is so; the page lives meanwhile."""
    for _ in range(200):
        if is_so():
            return
        page.wait_for_timeout(50)
    assert is_so()
