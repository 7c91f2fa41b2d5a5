"""What the standalone page lets in: hosts, origins, files, lengths of bodies.

No browser and no model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("gradio", minversion="6")

from fastapi.testclient import TestClient
from PIL import Image

from lib_singlelora.errors import SettingsError
from lib_singlelora.host import Host
from lib_singlelora.service.service import Service
from lib_singlelora.ui.serve import application
from lib_singlelora.web import door
from lib_singlelora.web.door import Hosts
from tests.stages.quiet_host import QuietHost
from tests.two_colours import two_colours

HERE = "http://127.0.0.1:7870"
SECRET = "the user's private letter"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    root = tmp_path_factory.mktemp("behind the door") / "workspaces"
    made = Service(cast(Host, QuietHost()), lambda: root)
    picture = root.parent / "picture.png"
    two_colours((64, 64), "red").save(picture)
    made.start(picture, "eileen", "girl")
    (root.parent / "letter.txt").write_text(SECRET)
    own = root / "eileen"
    for file in (
        "plots/sheet.html",
        "plots/evil.html",
        "plots/evil.svg",
        "model/snapshot/state.png",
        "model/x.safetensors",
    ):
        (own / file).parent.mkdir(parents=True, exist_ok=True)
        (own / file).write_text(SECRET)
    (own / "plots" / "link.png").symlink_to(root.parent / "letter.txt")
    return made


@pytest.fixture(scope="module")
def app(service: Service) -> Any:
    return application(service)


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[TestClient]:
    with TestClient(app, base_url=HERE) as made:
        yield made


# Hosts
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:7870",
        "127.0.0.1",
        "localhost:1",
        "LOCALHOST",
        "localhost.",
        "[::1]:7870",
        "[::1]",
    ],
)
def test_this_machines_names_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/singlelora/v1/workspaces", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7870",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "evil.example#127.0.0.1",
        "127.0.0.1@evil.example",
        "evil.example/127.0.0.1",
        "0.0.0.0:7870",
        "192.168.1.5:7870",
        "[::1",
        "localhost:x",
        "127.0.0.1, evil.example",
        "évil".encode(),
        "[::ffff:7f00:1].evil.example",
        "2130706433",
    ],
)
@pytest.mark.parametrize("path", ["/", "/singlelora/v1/workspaces", "/gradio_api/info", "/config"])
def test_a_foreign_name_that_points_here_reaches_nothing(
    client: TestClient, host: Any, path: str
) -> None:
    assert client.get(path, headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    ("listen", "public", "host", "known"),
    [
        ("0.0.0.0", (), "192.168.1.5:7870", True),
        ("::", (), "[fe80::1]:7870", True),
        ("0.0.0.0", (), "evil.example", False),
        ("0.0.0.0", (), "localhost", True),
        ("192.168.1.5", (), "192.168.1.5", True),
        ("192.168.1.5", (), "192.168.1.6", False),
        ("mybox", (), "MyBox:7870", True),
        ("127.0.0.1", ("studio.example",), "studio.example", True),
        ("127.0.0.1", ("studio.example",), "other.studio.example", False),
        ("127.0.0.1", ("Studio.example:8443",), "studio.example", True),
        ("[::1]", (), "[::1]:1", True),
    ],
)
def test_what_listen_and_allow_host_name_is_let_in(
    listen: str, public: tuple[str, ...], host: str, known: bool
) -> None:
    assert Hosts.of(listen, public).has(host) == known


def test_pages_of_a_named_reverse_proxy_are_trusted() -> None:
    hosts = Hosts.of("127.0.0.1", ["studio.example"])
    assert hosts.trusts("https://studio.example") and hosts.trusts("https://studio.example:8443")
    for origin in (
        "https://evil.example",
        "null",
        "studio.example",
        "https://studio.example.evil.example",
        "file://studio.example",
        "http://127.0.0.1:9999",
        "https://evil.example/studio.example",
        "https://studio.example@evil.example",
    ):
        assert not hosts.trusts(origin)
    with pytest.raises(SettingsError, match="--allow-host"):
        Hosts.of("127.0.0.1", ["https://studio.example/"])


# Origins
# ---------------------------------------------------------------------------------------------

WRITES = [
    "/gradio_api/queue/join",
    "/gradio_api/upload",
    "/gradio_api/run/predict",
    "/gradio_api/call/x",
    "/gradio_api/reset",
    "/gradio_api/cancel",
    "/gradio_api/stream/x",
    "/login",
    "/singlelora/v1/workspaces",
    "/gradio_api/component_server",
]
FOREIGN: list[dict[str, str]] = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://localhost:7870"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example", "sec-fetch-mode": "cors"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", WRITES)
def test_a_foreign_page_writes_nothing(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, json={}, headers=headers)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers", [each for each in FOREIGN if each.get("sec-fetch-mode") != "navigate"]
)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/gradio_api/info",
        "/singlelora/v1/workspaces",
        "/gradio_api/heartbeat/x",
        "/singlelora/v1/workspaces/eileen/files/source/original.png",
    ],
)
def test_a_foreign_page_reads_nothing(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    for method in ("GET", "HEAD"):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    asked = {
        **headers,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    preflight = client.options(path, headers=asked)
    assert preflight.status_code == 403 and "access-control-allow-origin" not in preflight.headers


def test_a_link_to_the_page_opens_it(client: TestClient) -> None:
    headers = {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    }
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/", headers={**headers, "sec-fetch-dest": "iframe"}).status_code == 403
    assert client.get("/").headers["x-frame-options"] == "SAMEORIGIN"


# Files
# -----------------------------------------------------------------------------------------------


def test_gradio_gives_no_file_of_the_user(client: TestClient, service: Service) -> None:
    outside = service.root.parent / "letter.txt"
    for path in (
        str(outside),
        "/etc/passwd",
        f"{service.root}/../letter.txt",
        "/" + str(outside),
        "//host/share/x.png",
        "https://example.com/x.png",
        str(Path(__file__)),
        "%00",
        "x" * 5000,
        "\\\\host\\share\\x.png",
        "http://127.0.0.1/x.png",
    ):
        for route in ("file=", "file/", "proxy="):
            answer = client.get(f"/gradio_api/{route}{path}")
            assert answer.status_code in (400, 403, 404), (route, path)
            assert SECRET not in answer.text and "root:" not in answer.text


def test_gradio_gives_nothing_of_a_workspace(client: TestClient, service: Service) -> None:
    """The page reads pictures by the API, which has rules of its own."""
    own = service.root / "eileen"
    for name in (
        "source/original.png",
        "plots/sheet.html",
        "settings.json",
        "model/snapshot/state.png",
        "model/x.safetensors",
        "plots/evil.html",
        "plots/evil.svg",
        "plots/link.png",
        "log/events.jsonl",
        ".singlelora.lock",
        "",
    ):
        answer = client.get(f"/gradio_api/file={own}/{name}")
        assert answer.status_code in (403, 404) and SECRET not in answer.text, name


def test_no_call_of_the_page_takes_a_file(app: Any) -> None:
    """Gradio copies what a call names into its own folder, which it serves to whoever asks."""
    page = next(
        route.app for route in app.routes if hasattr(getattr(route, "app", None), "get_blocks")
    ).get_blocks()
    inputs = {type(each).__name__ for event in page.fns.values() for each in event.inputs}
    assert inputs <= {"Textbox"}
    kinds = {type(each).__name__ for each in page.blocks.values()}
    assert "HTML" in kinds and not kinds & {"File", "Image", "UploadButton", "Gallery"}


def test_what_was_uploaded_comes_back_as_no_page(client: TestClient) -> None:
    for name, kind in (("x.html", "text/html"), ("x.svg", "image/svg+xml")):
        [path] = client.post(
            "/gradio_api/upload", files={"files": (name, b"<script>1</script>", kind)}
        ).json()
        sent = client.get(f"/gradio_api/file={path}")
        assert sent.status_code == 403 or (
            sent.headers["content-disposition"].startswith("attachment")
            and "sandbox" in sent.headers["content-security-policy"]
        )


def test_gradio_starts_no_ghostscript(app: Any) -> None:
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(EPS))


# Lengths
# ---------------------------------------------------------------------------------------------


def chunks(count: int) -> Iterator[bytes]:
    yield (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="x"\r\nContent-Type:'
        b" image/png\r\n\r\n"
    )
    for _ in range(count):
        yield b" " * 2**20


def test_bodies_are_limited_whether_they_tell_their_length_or_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MAX_FORM", 3 * 2**20)
    monkeypatch.setattr(door, "MAX_UPLOAD", 5 * 2**20)
    for path, most in (
        ("/gradio_api/queue/join", 3),
        ("/gradio_api/upload", 5),
        ("/gradio_api/run/predict", 3),
    ):
        kind = {
            "content-type": (
                "multipart/form-data; boundary=x" if "upload" in path else "application/json"
            )
        }
        told = client.post(
            path, content=b" ", headers={**kind, "content-length": str(most * 2**20 + 1)}
        )
        assert told.status_code == 413
        untold = client.post(path, content=chunks(most + 2), headers=kind)
        assert untold.status_code == 413 and f"{most} MiB" in json.loads(untold.text)["detail"]
        assert client.post(path, content=chunks(most - 1), headers=kind).status_code not in (
            413,
            403,
        )
