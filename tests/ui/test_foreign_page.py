"""A page of another site, in a real browser: it can neither read nor change what the standalone
page has.

The other site is a server of its own under a name that Chromium is told to find on this machine;
the same trick is DNS rebinding, a foreign name that points at the page itself.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")
pytest.importorskip("gradio", minversion="4")

from PIL import Image

from lib_singlelora.host import Host
from lib_singlelora.service.service import Service
from lib_singlelora.sheets.page import Page, PageCell, PageTable, write_page
from lib_singlelora.ui.serve import application
from tests.browser import CHROMIUM, needs_chromium
from tests.stages.quiet_host import QuietHost
from tests.two_colours import two_colours
from tests.ui.conftest import serving

pytestmark = needs_chromium
SECRET = "the user's private letter"
ATTACK = (Path(__file__).parent / "foreign_page.js").read_text(encoding="utf-8")


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

    def log_message(self, *given: object) -> None:
        """Nothing."""


def state(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Service]]:
    root = tmp_path_factory.mktemp("foreign") / "workspaces"
    service = Service(cast(Host, QuietHost()), lambda: root)
    picture = root.parent / "picture.png"
    two_colours((64, 64), "red").save(picture)
    service.start(picture, "eileen", "girl")
    (root.parent / "letter.txt").write_text(SECRET)
    plots = root / "eileen" / "plots"
    plots.mkdir()
    (plots / "sheet.html").write_text(
        "<title>sheet</title><script>document.title = 'it ran'</script><img src=x onerror="
        "\"document.title = 'it ran'\"><p>tables</p>"
    )
    (plots / "evil.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'><script>document.title='it ran'</script></svg>"
    )
    with serving(application(service)) as port:
        yield port, service


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
        yield opened
        opened.close()


def attacked(browser: Any, home: str, target: str, service: Service) -> dict[str, Any]:
    """What the attack found, from a page of `home`."""
    stream = io.BytesIO()
    two_colours((64, 64), "blue").save(stream, "PNG")
    words = {
        "PNG": base64.b64encode(stream.getvalue()).decode(),
        "LETTER": str(service.root.parent / "letter.txt"),
        "OWN": str(service.root / "eileen" / "source" / "original.png"),
    }
    script = ATTACK
    for word, value in words.items():
        script = script.replace(f"= {word}", f"= {json.dumps(value)}")
    page = browser.new_page()
    page.goto(home)
    with contextlib.closing(page):
        return cast(dict[str, Any], page.evaluate(script, target))


@pytest.mark.parametrize(
    "home", ["http://evil.example:{site}/", "http://localhost:{site}/", "http://127.0.0.1:{site}/"]
)
def test_a_foreign_page_neither_reads_nor_writes(
    served: tuple[int, Service], site: int, browser: Any, home: str
) -> None:
    port, service = served
    before = state(service.root)
    found = attacked(browser, home.format(site=site), f"http://127.0.0.1:{port}", service)
    answers = {name: value for name, value in found.items() if value not in ("refused", True)}
    # A blind request tells the page nothing; what it did is seen below.
    assert {name for name in answers if "blindly" not in name} <= {"queue", "upload"}, answers
    assert {answers[name] for name in answers} <= {"sent"}
    assert (
        state(service.root) == before
        and service.runner.tickets == []
        and service.names() == ["eileen"]
    )


def test_a_foreign_name_that_points_here_is_no_way_in(
    served: tuple[int, Service], browser: Any
) -> None:
    port, service = served
    before = state(service.root)
    rebound = f"http://rebound.example:{port}"
    found = attacked(browser, rebound, rebound, service)
    told = json.dumps(found)
    assert SECRET not in told and '\\"training\\"' not in told and "fn_index" not in told
    read = [
        str(value)
        for name, value in found.items()
        if name.startswith("read ") and "blindly" not in name
    ]
    assert read and all("--allow-host" in value for value in read)
    assert found["picture"] == found["gradio's picture"] == found["events"] == "refused"
    assert (
        state(service.root) == before
        and service.runner.tickets == []
        and service.names() == ["eileen"]
    )


def test_the_page_itself_reads_and_writes(served: tuple[int, Service], browser: Any) -> None:
    """The attack from the page's own address: that the others are refused proves something only if
    this works.
    """
    port, service = served
    home = f"http://127.0.0.1:{port}"
    found = attacked(browser, home, home, service)
    assert "eileen" in found["read list"] and found["picture"] == "loaded"
    assert found["gradio's picture"] == "refused"  # to the page as well: it reads by the API
    assert (
        "planted" in found["start with json"]
        and '"rank":3' in found["change"]
        and "planted.html" in found["upload and read"]
    )
    assert SECRET not in json.dumps(found)  # that file is nobody's, not even the page's


@pytest.mark.parametrize("file", ["plots/sheet.html", "plots/evil.svg"])
def test_what_came_with_a_workspace_runs_no_script(
    served: tuple[int, Service], browser: Any, file: str
) -> None:
    port, _ = served
    page = browser.new_page()
    with contextlib.suppress(Exception):  # "Download is starting" ends a visit
        page.goto(f"http://127.0.0.1:{port}/singlelora/v1/workspaces/eileen/files/{file}")
    page.wait_for_timeout(300)
    assert page.title() != "it ran"
    if file.endswith(".html"):
        assert page.title() == "sheet" and page.locator("p").inner_text() == "tables"
    page.close()


def test_the_products_own_sheet_works_as_it_is_served(
    served: tuple[int, Service], browser: Any, tmp_path: Path
) -> None:
    port, service = served
    picture = tmp_path / "mara.png"
    two_colours((96, 96), "green").save(picture)
    name = service.start(picture, "mara", "girl")
    plots = service.root / name / "plots"
    source = service.root / name / "source" / "original.png"
    plots.mkdir()
    Image.new("RGB", (96, 96), "blue").save(plots / "1.png")
    cell = PageCell(
        "epoch 1",
        "mara",
        "Euler",
        (plots / "1.png",),
        (1,),
        {"retention": 0.5},
        "half",
        "",
        False,
        {},
    )
    write_page(
        plots / "sheet.html",
        Page("mara", "mara", (PageTable("ALL", ("",), ("",), ((cell,),)),), source, "it is"),
    )
    page = browser.new_page()
    problems = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"http://127.0.0.1:{port}/singlelora/v1/workspaces/{name}/files/plots/sheet.html")
    page.locator("#count", has_text="1 cells").wait_for(state="attached")  # the script's work
    page.locator(".pic").first.click()
    for _ in range(50):
        # The file beside it
        if page.locator("#large").evaluate("image => image.naturalWidth") == 96:
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError("the picture does not come")
    assert problems == []
    page.close()
