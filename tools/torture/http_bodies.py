"""HTTP bodies of any kind for every route: answers below 500, each of JSON or a file."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from . import inputs
from .job import PICTURE
from .readers import Reader, _names

NAME = "eileen"


class _Place:
    """A service on a real host, whose queue is held by a job that waits, so that nothing is
    trained.
    """

    def __init__(self) -> None:
        from fastapi import FastAPI
        from fastapi.testclient import TestClient

        from lib_singlelora.api import routes as api
        from lib_singlelora.embedded.paths import CHECKPOINT
        from lib_singlelora.hosts.standalone.host import StandaloneHost
        from lib_singlelora.service.service import Service

        self.folder = tempfile.TemporaryDirectory(prefix="singlelora-torture-")
        root = Path(self.folder.name) / "workspaces"
        root.mkdir()
        self.service = Service(StandaloneHost(CHECKPOINT, "cpu"), lambda: root)
        self.service.runner.submit("held", lambda job: threading.Event().wait())
        app = FastAPI()
        api.mount(app, self.service)
        self.client = TestClient(
            app, base_url="http://127.0.0.1:7870", raise_server_exceptions=True
        )
        self.service.start(PICTURE, NAME, "woman")
        (root / NAME / "image" / f"5_{NAME}").mkdir(parents=True)
        schema: dict[str, Any] = app.openapi()
        self.routes = sorted(
            (path, method.upper()) for path, own in schema["paths"].items() for method in own
        )
        models = schema.get("components", {}).get("schemas", {}).values()
        self.keys = tuple(sorted({key for model in models for key in model.get("properties", {})}))

    def tidy(self) -> None:
        """Cancel what was queued, so that it never says that too much waits."""
        for ticket in self.service.runner.tickets:
            if ticket.job.state == "waiting":
                self.service.cancel(ticket.number)


@cache
def _place() -> _Place:
    return _Place()


def _requests() -> SearchStrategy[Any]:
    place = _place()
    body = st.one_of(
        inputs.objects((*place.keys, *_names()[:40])),
        inputs.values(),
        st.fixed_dictionaries({key: inputs.values(3) for key in ("picture", "trigger", "name")}),
    )
    data = st.one_of(
        body.map(lambda value: json.dumps(value).encode()), inputs.json_bytes(body), st.just(b"")
    )
    name = st.one_of(
        st.just(NAME),
        st.just(NAME),
        inputs.texts(12),
        st.sampled_from(("..", ".", "%2e%2e", "a/b", "CON", "1")),
    )
    kind = st.sampled_from(
        (
            "application/json",
            "application/json",
            "application/json",
            "text/plain",
            "",
            "application/x-www-form-urlencoded",
        )
    )
    origin = st.sampled_from(
        (
            {},
            {},
            {},
            {"Origin": "http://evil.example"},
            {"Host": "evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Authorization": "Basic \xe9"},
            {"Authorization": "Basic !!!"},
            {"Content-Length": "-1"},
            {"Origin": "null"},
        )
    )
    return st.tuples(st.sampled_from(place.routes), name, name, data, kind, origin)


def _ask(given: tuple[tuple[str, str], str, str, bytes, str, dict[str, str]], folder: Path) -> None:
    from urllib.parse import quote

    (path, method), name, other, data, kind, origin = given
    place = _place()
    first = True
    pieces = []
    for piece in path.split("/"):
        if piece.startswith("{"):
            pieces.append(
                quote((name if first else other).encode("utf-8", "surrogatepass"), safe="")
            )
            first = False
        else:
            pieces.append(piece)
    headers = {
        key: value.encode("latin-1")
        for key, value in {"Content-Type": kind, **origin}.items()
        if value
    }
    answer = place.client.request(
        method, "/".join(pieces), content=data if method != "GET" else None, headers=headers
    )
    with contextlib.suppress(Exception):
        place.tidy()
    assert answer.status_code < 500 or answer.status_code == 507, (
        f"{method} {path}: {answer.status_code} {answer.text[:300]}"
    )
    if answer.status_code >= 400:
        assert "Traceback" not in answer.text and '"detail"' in answer.text, (
            f"{method} {path}: {answer.text[:300]}"
        )
    assert place.service.runner.running is not None


HTTP = Reader("HTTP bodies", _requests, _ask)
