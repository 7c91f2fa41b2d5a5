"""What the HTTP API refuses, and that a refused request leaves nothing behind."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image, ImageFile

from lib_singlelora.api import routes as api
from lib_singlelora.errors import (
    CheckpointError,
    ConflictError,
    HostBusyError,
    NotFoundError,
    SingleLoraError,
    TooManyError,
    WorkspaceError,
)
from lib_singlelora.service.service import Service
from lib_singlelora.web import guard
from tests.stages.quiet_host import QuietHost

API = "/singlelora/v1"
JSON = {"content-type": "application/json"}


def png(size: tuple[int, int] = (64, 64)) -> str:
    image = Image.new("RGB", size, (200, 30, 30))
    stream = io.BytesIO()
    # One colour alone is refused as no character
    image.paste((30, 30, 200), (0, 0, size[0] // 2, size[1] // 2))
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    root = tmp_path_factory.mktemp("guarded") / "workspaces"
    return Service(QuietHost(), lambda: root)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    app = FastAPI()
    api.mount(app, service)
    yield TestClient(app)  # raises what the app does not answer, so a 500 fails a test


@pytest.fixture(scope="module")
def name(client: TestClient) -> str:
    made = client.post(f"{API}/workspaces", json={"picture": png(), "trigger": "eileen"})
    assert made.status_code == 201, made.text
    return str(made.json()["workspace"])


def state(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


# Who asks from where
# ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver:9999"},
        {"origin": ""},
        {"origin": "http://testserver.evil.example"},
        {"origin": "http://evil@testserver"},
        {"origin": "file://"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://évil".encode()},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/workspaces"),
        ("PATCH", "/workspaces/eileen"),
        ("POST", "/workspaces/eileen/jobs"),
        ("POST", "/jobs/1/cancel"),
        ("PUT", "/workspaces/eileen/mask"),
        ("POST", "/workspaces/eileen/tags"),
        ("POST", "/workspaces/eileen/bake"),
    ],
)
def test_a_page_from_elsewhere_writes_nothing(
    client: TestClient, name: str, service: Service, method: str, path: str, headers: dict[str, Any]
) -> None:
    before = state(service.root)
    answer = client.request(
        method, API + path, content=b'{"training.rank": 3}', headers={**JSON, **headers}
    )
    assert answer.status_code == 403 and state(service.root) == before


def test_every_writing_route_has_the_guard() -> None:
    app = FastAPI()
    api.mount(app, Service(QuietHost(), lambda: Path("nowhere")))
    client = TestClient(app)
    asked = 0
    for path, operations in app.openapi()["paths"].items():
        for method in operations.keys() - {"get"}:
            place = path.replace("{number}", "1").replace("{name}", "x").replace("{crop}", "x")
            assert (
                client.request(
                    method, place, headers={"origin": "https://evil.example"}
                ).status_code
                == 403
            ), place
            asked += 1
    assert asked > 10


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://testserver"},
        {"origin": "http://testserver:80"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_programs_and_the_own_page_may_write(
    client: TestClient, name: str, headers: dict[str, str]
) -> None:
    assert (
        client.patch(
            f"{API}/workspaces/{name}", json={"training.rank": 3}, headers=headers
        ).status_code
        == 200
    )


def test_an_origin_that_the_host_trusts_may_write(tmp_path: Path) -> None:
    app = FastAPI()
    api.mount(
        app,
        Service(QuietHost(), lambda: tmp_path),
        trusted=lambda origin: origin == "https://friend.example",
    )
    client = TestClient(app)
    for origin, status in (("https://friend.example", 201), ("https://evil.example", 403)):
        answer = client.post(
            f"{API}/workspaces",
            json={"picture": png(), "trigger": "eileen"},
            headers={"origin": origin},
        )
        assert answer.status_code == status


# What a body may be
# -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "text/json",
    ],
)
def test_only_json_is_read(
    client: TestClient, name: str, service: Service, kind: str | None
) -> None:
    before = state(service.root)
    answer = client.patch(
        f"{API}/workspaces/{name}",
        content=b'{"training.rank": 3}',
        headers={"content-type": kind} if kind else {},
    )
    assert answer.status_code == 415 and state(service.root) == before


def chunks(piece: bytes, count: int, sent: list[int]) -> Iterator[bytes]:
    """A body without a length; sent counts what was asked for."""
    for _ in range(count):
        sent.append(len(piece))
        yield piece


def test_a_body_is_limited_before_it_is_read(client: TestClient, name: str) -> None:
    most = guard.MAX_BODY
    asked = client.patch(
        f"{API}/workspaces/{name}", content=b"{}", headers={**JSON, "content-length": str(most + 1)}
    )
    assert asked.status_code == 413
    for length in ("-1", "1e9", "٣", "9" * 5000):
        answer = client.patch(
            f"{API}/workspaces/{name}",
            content=b"{}",
            headers={**JSON, "content-length": length.encode()},
        )
        assert answer.status_code in (400, 413)
    answer = client.patch(
        f"{API}/workspaces/{name}", content=chunks(b" " * 2**18, 16, []), headers=JSON
    )
    assert answer.status_code == 413 and "2 MiB" in answer.text
    assert (
        client.patch(
            f"{API}/workspaces/{name}", content=chunks(b" " * 2**18, 7, []), headers=JSON
        ).status_code
        == 400
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic é".encode()},
        {"authorization": "Basic w6k6w6k="},
        {"authorization": "Basic"},
        {"authorization": "Basic ////"},
        {"authorization": "Bearer x"},
        {"authorization": "Basic " + base64.b64encode(b"bob:\xff").decode()},
    ],
)
def test_nothing_of_a_body_is_read_without_a_login(
    service: Service, headers: dict[str, Any]
) -> None:
    app = FastAPI()
    api.mount(app, service, {"bob": "secret"})
    read: list[str] = []

    async def receive() -> dict[str, Any]:
        read.append("read")
        return {"type": "http.request", "body": b"{}", "more_body": False}

    answered: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    raw = [
        (key.encode(), value if isinstance(value, bytes) else value.encode())
        for key, value in {**JSON, **headers}.items()
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": f"{API}/workspaces",
        "raw_path": b"",
        "query_string": b"",
        "root_path": "",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "headers": [*raw, (b"content-length", b"2")],
    }
    import asyncio

    asyncio.run(app(scope, receive, send))
    assert answered == [401] and read == []


DEEP = "[" * 200_000 + "]" * 200_000
BODIES = [
    "",
    "{",
    "nothing",
    '"text"',
    "[]",
    "null",
    "1",
    '{"training.rank": NaN}',
    '{"training.rank": Infinity}',
    '{"training.rank": 1e999}',
    '{"training.rank": ' + "9" * 400 + "}",
    '{"training.rank": ' + "9" * 9000 + "}",
    '{"training.unet_lr": ' + "9" * 400 + "}",
    '{"training.rank": -' + "9" * 100 + ".5}",
    '{"inpaint.prompt": "\\ud800"}',
    '{"inpaint.prompt": "a\\u0000b"}',
    '{"\\udfff": 1}',
    '{"a\\u0000": 1}',
    '{"plot.compare": ["\\ud800"]}',
    '{"training.rank": []}',
    '{"training.rank": {}}',
    '{"training.rank": null}',
    '{"plot.strengths": [[1]]}',
    '{"plot.strengths": {"a": 1}}',
    '{"plot.presets": [null]}',
    '{"training": {"rank": 3}}',
    '{"version": 99}',
    '{"": 1}',
    '{".": 1}',
    '{"training.rank.": 1}',
    '{"a": ' + DEEP + "}",
    '{"a": ' + "[" * 600 + "]" * 600 + "}",
    '{"plot.presets": ' + '{"a":' * 12 + "1" + "}" * 12 + "}",
    '{"caption.tagger": "~nobodyofthisname/x"}',
    '{"caption.tagger": "' + "x" * 5000 + '"}',
    '{"inpaint.lora": "' + "a/" * 3000 + '"}',
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/workspaces/eileen"),
        ("POST", "/workspaces"),
        ("POST", "/workspaces/eileen/jobs"),
        ("POST", "/workspaces/eileen/versions"),
        ("POST", "/workspaces/eileen/versions/judged"),
        ("POST", "/workspaces/eileen/merge"),
        ("PUT", "/workspaces/eileen/mask"),
    ],
)
def test_unreadable_bodies_are_told_and_change_nothing(
    client: TestClient, name: str, service: Service, method: str, path: str
) -> None:
    before = state(service.root)
    jobs = len(service.runner.tickets)
    for body in BODIES:
        if path.endswith(("/jobs", "/workspaces")) and body.startswith('{"'):
            body = '{"picture": "' + png() + '", "trigger": "anna", "settings": ' + body + "}"
        answer = client.request(
            method, API + path, content=body.encode("utf-8", "surrogatepass"), headers=JSON
        )
        assert answer.status_code in (400, 422), (body[:60], answer.text)
        assert len(answer.content) < 2000 and isinstance(answer.json()["detail"], str)
    assert state(service.root) == before and len(service.runner.tickets) == jobs


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workspaces", {"picture": 5, "trigger": "a"}),
        ("/workspaces", {"picture": "é", "trigger": "a"}),
        ("/workspaces", {"picture": "data:image/png;base64", "trigger": "a"}),
        ("/workspaces", {"picture": png(), "trigger": 5}),
        ("/workspaces", {"picture": png(), "trigger": "a", "class_token": True}),
        ("/workspaces", {"picture": png(), "trigger": "a", "name": "../b"}),
        ("/workspaces", {"picture": png(), "trigger": "CON"}),
        ("/workspaces", {"picture": png(), "trigger": "a", "settings": {"training.rank": 0}}),
        ("/workspaces", {"picture": png(), "trigger": "a", "settings": {"training.rnak": 3}}),
        (
            "/workspaces",
            {"picture": png(), "trigger": "a", "settings": {"training.preset": "none of them"}},
        ),
        (
            "/workspaces",
            {"picture": png(), "trigger": "a", "settings": {"character.class_token": "a/b"}},
        ),
        (
            "/workspaces",
            {"picture": png(), "trigger": "a", "settings": {"inpaint.lora": "/etc/passwd"}},
        ),
        ("/workspaces", {"picture": png((8, 8)), "trigger": "a"}),
        ("/workspaces/eileen/jobs", {"settings": {"training.rank": 0}}),
        ("/workspaces/eileen/jobs", {"force": "yes"}),
        ("/workspaces/eileen/jobs", {"settings": {"training.rank": 4, "training.epochs": -1}}),
        ("/workspaces/eileen/jobs", {"settings": {"character.trigger": "other"}}),
        ("/workspaces/eileen/jobs", {"settings": []}),
        ("/workspaces/eileen/versions", {"picture": "source/original.png", "repeats": -3}),
        ("/workspaces/eileen/versions", {"picture": "source/original.png", "repeats": 10**30}),
        ("/workspaces/eileen/versions", {"picture": "source/original.png", "repeats": 1.5}),
        ("/workspaces/eileen/versions", {"picture": "source/original.png", "repeats": True}),
        ("/workspaces/eileen/versions", {"picture": "source/original.png", "start": "middle"}),
        ("/workspaces/eileen/versions", {"picture": "source/original.png", "start": "last"}),
        ("/workspaces/eileen/versions", {"picture": "log/events.jsonl"}),
        ("/workspaces/eileen/versions/judged", {"settings": {"loopback.count": 0}}),
        ("/workspaces/eileen/versions/judged", {"settings": {"loopback.lora": "/etc/passwd"}}),
        ("/workspaces/eileen/versions/judged", {"start": "middle"}),
        ("/workspaces/eileen/versions/judged", {}),  # nothing is trained
        ("/workspaces/eileen/bake", {"strength": True}),
        ("/workspaces/eileen/bake", {"strength": "1"}),
        ("/workspaces/eileen/bake", {"strength": 1e300}),
        ("/workspaces/eileen/resize", {"rank": 10**40}),
        ("/workspaces/eileen/merge", {"loras": ["a", "a"]}),
        ("/workspaces/eileen/trigger", {"word": "a,b"}),
        ("/workspaces/eileen/tags", {"add": ["a,b"]}),
        ("/workspaces/eileen/tags", {"undo": 1}),
        ("/workspaces/eileen/review", {"reject": ["\x7f"]}),
        ("/workspaces/eileen/accepted", {"pictures": "x"}),
    ],
)
def test_a_refused_request_leaves_nothing_behind(
    client: TestClient, name: str, service: Service, path: str, body: dict[str, Any]
) -> None:
    (service.root / name / "log").mkdir(exist_ok=True)
    (service.root / name / "log" / "events.jsonl").touch()
    before = state(service.root)
    jobs = len(service.runner.tickets)
    answer = client.post(API + path, json=body)
    assert answer.status_code in (404, 409, 422), answer.text
    assert (
        state(service.root) == before
        and len(service.runner.tickets) == jobs
        and service.names() == [name]
    )


def test_a_job_that_finds_no_room_changes_no_setting(
    client: TestClient, name: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise TooManyError("found 50 jobs waiting, expected fewer")

    monkeypatch.setattr(service.runner, "submit", full)
    before = state(service.root)
    answer = client.post(
        f"{API}/workspaces/{name}/jobs", json={"stage": "prepare", "settings": {"training.rank": 3}}
    )
    assert answer.status_code == 429 and state(service.root) == before


# Pictures
# --------------------------------------------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"


def huge(side: int) -> bytes:
    """The head of a PNG of side * side pixels, and the first of its rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    row = zlib.compress(bytes(side + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def prepared(service: Service, name: str) -> Path:
    source = service.root / name / "source"
    Image.new("RGB", (64, 64), "red").save(source / "prepared.png")
    Image.new("L", (64, 64), 255).save(source / "mask.png")
    return source / "mask.png"


@pytest.mark.parametrize(
    "data",
    [
        EPS,
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"%PDF-1.4",
        b"<svg/>",
        b"\0" * 99,
        b"\xff\xd8\xff",
        b"II*\0" + b"\xff" * 40,
        b"\0\0\1\0\1\0" + b"\1" * 60,
    ],
)
def test_what_is_no_picture_is_told_and_starts_nothing(
    client: TestClient,
    service: Service,
    name: str,
    prepared: Path,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*given: object, **more: object) -> None:
        raise AssertionError("another program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    before = state(service.root)
    sent = base64.b64encode(data).decode()
    for answer in (
        client.put(f"{API}/workspaces/{name}/mask", json={"picture": sent}),
        client.post(f"{API}/workspaces", json={"picture": sent, "trigger": "anna"}),
    ):
        assert answer.status_code == 422 and len(answer.text) < 500
    assert state(service.root) == before


def test_a_mask_of_another_size_is_not_decoded(
    client: TestClient, name: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_room = ImageFile.ImageFile.load_prepare

    def watched(self: ImageFile.ImageFile) -> None:
        assert self.size == (64, 64), "memory was taken for it"
        make_room(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", watched)
    for side in (65, 9_000, 26_000, 60_000):
        answer = client.put(
            f"{API}/workspaces/{name}/mask", json={"picture": base64.b64encode(huge(side)).decode()}
        )
        assert answer.status_code == 422 and (
            "expected the size" in answer.text or "megapixels" in answer.text
        )


def test_a_mask_of_the_pictures_size_is_taken(
    client: TestClient, name: str, prepared: Path
) -> None:
    stream = io.BytesIO()
    Image.new("L", (64, 64), 255).crop((0, 0, 32, 64)).resize((64, 64)).save(stream, "PNG")
    answer = client.put(
        f"{API}/workspaces/{name}/mask",
        json={"picture": base64.b64encode(stream.getvalue()).decode()},
    )
    assert answer.status_code == 200, answer.text


# How an error is told
# ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError, 404),
        (ConflictError, 409),
        (HostBusyError, 409),
        (TooManyError, 429),
        (WorkspaceError, 422),
        (CheckpointError, 422),
        (SingleLoraError, 422),
    ],
)
def test_an_error_is_told_by_its_type(
    client: TestClient,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    error: type[SingleLoraError],
    status: int,
) -> None:
    def fail(name: str) -> None:
        raise error("found no such thing\ud800, expected " + "x" * 5000)

    monkeypatch.setattr(service, "results", fail)
    answer = client.get(f"{API}/workspaces/eileen")
    assert answer.status_code == status and len(answer.text) < 2000


@pytest.mark.parametrize(
    "path",
    [
        "/workspaces/nobody",
        "/workspaces/nobody/files",
        "/workspaces/nobody/dataset",
        "/jobs/99",
        "/workspaces/eileen/files/nothing.png",
        "/workspaces/nobody/plan",
        "/workspaces/eileen/files/%00",
        "/workspaces/eileen/files/a%EF%BF%BDb",
        "/workspaces/eileen/files/%ED%A0%80",
    ],
)
def test_what_is_not_there_is_404(client: TestClient, name: str, path: str) -> None:
    assert client.get(API + path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/workspaces/%00",
        "/workspaces/a%0Ab",
        "/jobs/" + "9" * 5000,
        "/jobs/1e3",
        "/jobs/x",
        "/workspaces/%ED%A0%80",
        "/workspaces/eileen/dataset",
        "/workspaces/eileen/presets?lora=%00",
        "/workspaces/eileen/plan",
        "/workspaces/eileen/summary",
        "/workspaces/" + "a" * 5000,
    ],
)
def test_odd_addresses_are_told(client: TestClient, name: str, path: str) -> None:
    assert client.get(API + path).status_code in (200, 404, 409, 422)


# Files
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "settings.json",
        "SETTINGS.JSON",
        "generated/1/settings.json",
        "model/snapshot/state.pt",
        "model/Snapshot/state.pt",
        "link",
        ".hidden",
        "log/.events.tmp",
        "//evil.example/share/x",
        "%5C%5Cevil.example%5Cshare%5Cx",
        "C:/x",
        "C:x",
        "plots/../settings.json",
    ],
)
def test_snapshots_settings_and_other_machines_are_not_given(
    client: TestClient, name: str, service: Service, path: str
) -> None:
    root = service.root / name
    for file in (
        "generated/1/settings.json",
        "model/snapshot/state.pt",
        "model/Snapshot/state.pt",
        ".hidden",
        "log/.events.tmp",
        "C:x",
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("secret")
    if not hasattr(os, "symlink"):
        pytest.skip("links need a privilege here")
    if not (root / "link").is_symlink():
        (root / "link").symlink_to(root / "settings.json")
    answer = client.get(f"{API}/workspaces/{name}/files/{path}")
    assert answer.status_code == 404 and "secret" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["x.html", "x.svg", "x.txt", "x.xhtml", "x", "x.pdf", "model/x.safetensors", "plots/x.html"],
)
def test_what_is_no_picture_is_only_saved(
    client: TestClient, name: str, service: Service, path: str
) -> None:
    (service.root / name / path).parent.mkdir(exist_ok=True)
    (service.root / name / path).write_text("<script>alert(1)</script>")
    answer = client.get(f"{API}/workspaces/{name}/files/{path}")
    assert answer.status_code == 200 and answer.headers["content-disposition"].startswith(
        "attachment"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_pictures_and_the_sheet_are_looked_at(
    client: TestClient, name: str, service: Service
) -> None:
    (service.root / name / "plots").mkdir(exist_ok=True)
    (service.root / name / "plots" / "sheet.html").write_text("<script>alert(1)</script>")
    picture = client.get(f"{API}/workspaces/{name}/files/source/original.png")
    sheet = client.get(f"{API}/workspaces/{name}/files/plots/sheet.html")
    assert picture.headers["content-type"] == "image/png" and sheet.headers[
        "content-type"
    ].startswith("text/html")
    for answer in (picture, sheet):
        assert not answer.headers.get("content-disposition", "").startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'sha256-" in sheet.headers["content-security-policy"]
    assert json.loads(client.get(f"{API}/settings").text)[0].keys() >= {"name", "path"}


# What lies in a workspace
# ------------------------------------------------------------------------------


def test_texts_of_a_workspace_that_no_encoding_takes_are_told_as_escapes(tmp_path: Path) -> None:
    service = Service(QuietHost(), lambda: tmp_path)
    app = FastAPI()
    api.mount(app, service)
    client = TestClient(app)
    made = client.post(f"{API}/workspaces", json={"picture": png(), "trigger": "eileen"})
    assert made.status_code == 201, made.text
    name = made.json()["workspace"]
    root = tmp_path / name
    (root / "log").mkdir(exist_ok=True)
    (root / "log" / "crop.json").write_text(
        json.dumps(
            {"fingerprint": "", "complete": True, "files": {}, "data": {"notes": ["half \ud800"]}}
        )
    )
    (root / "source" / "artifacts.json").write_text(
        json.dumps(
            {
                "artifacts": [
                    {
                        "name": "1",
                        "kind": "\ud800",
                        "sentence": "",
                        "cleaned": False,
                        "box": ["\ud801"],
                    }
                ]
            }
        )
    )
    assert client.get(f"{API}/workspaces/{name}").json()["crop_notes"] == ["half \\ud800"]
    (artifact,) = client.get(f"{API}/workspaces/{name}/dataset").json()["artifacts"]
    assert (artifact["kind"], artifact["box"]) == ("\\ud800", ["\\ud801"])
