"""The door of the standalone page: which requests reach gradio and the API at all.

The page runs on a machine with private files, and every site that its user visits can send
requests to it.  So a request must name a host that is ours (else a foreign name that points here
would make a foreign page one of this address), must come from a page of this address or from no
page, and brings no more than it may.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from ..errors import SettingsError
from ..service.service import Service, is_public
from ..settings.declare import names_a_share
from .guard import MAX_PICTURE
from .rules import (
    LOCAL,
    PREFIX,
    SAFE_METHODS,
    SHEETS,
    file_headers,
    is_address,
    is_picture,
    origin_problem,
    split_host,
)

MAX_UPLOAD = MAX_PICTURE + 1024 * 1024  # bytes; a form's lines around the file
MAX_FORM = 8 * 1024 * 1024  # what gradio sends of a page's fields
WILDCARDS = ("0.0.0.0", "::", "")
UPLOAD = "/gradio_api/upload"
FILES = ("/gradio_api/file=", "/gradio_api/file/")
PROXY = "/gradio_api/proxy="
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class Hosts:
    """The names that a request may be sent to.

    names: of this machine as the user gave them, and the local ones.
    public: those that a reverse proxy answers to; its pages have another port or scheme than we.
    addresses: whether any IP address is one, as where all of them are listened to.
    """

    names: frozenset[str] = frozenset(LOCAL)
    public: frozenset[str] = frozenset()
    addresses: bool = False

    @classmethod
    def of(cls, listen: str, public: Iterable[str] = ()) -> Hosts:
        """The hosts of a server that listens on an address.

        Raises: SettingsError, for what is no name.
        """
        known = frozenset(_name(text) for text in public)
        own = frozenset() if listen in WILDCARDS else frozenset({listen.lower().strip("[]")})
        return cls(frozenset(LOCAL) | own | known, known, listen in WILDCARDS)

    def has(self, header: str) -> bool:
        """Whether a Host header names one of them."""
        found = split_host(header)
        return found is not None and (
            found[0] in self.names or (self.addresses and is_address(found[0]))
        )

    def trusts(self, origin: str) -> bool:
        """Whether an origin is a reverse proxy's."""
        scheme, _, place = origin.partition("://")
        found = split_host(place)
        return scheme in ("http", "https") and found is not None and found[0] in self.public


class Door:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Any, service: Service, hosts: Hosts) -> None:
        self.app = app
        self.service = service
        self.hosts = hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        status, problem = self._refusal(scope, Headers(scope=scope))
        if scope["type"] == "websocket":
            if problem:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        if problem:
            await _answer(send, status, problem)
            return
        await self._bounded(
            scope, receive, _with_headers(send, HEADERS | _file_headers(scope["path"]))
        )

    def _refusal(self, scope: Any, headers: Headers) -> tuple[int, str]:
        """(status, why) of a request that is not let in; 200 and '' for the others."""
        named = headers.getlist("host")
        if len(named) != 1 or not self.hosts.has(named[0]):
            shown = ", ".join(named)[:100]
            return (
                400,
                (
                    f"found the host '{shown}', expected one of this machine; name it with"
                    " --allow-host"
                ),
            )
        reads = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        looks = (
            reads
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        if not looks and (problem := origin_problem(headers, self.hosts.trusts)):
            return 403, problem
        if self._is_private(scope["path"]):
            return 404, "found no such file, expected one that the page shows"
        return 200, ""

    def _is_private(self, path: str) -> bool:
        """Whether gradio is asked for a file that the page never shows, or to fetch one from
        elsewhere.
        """
        if path.startswith(PROXY):
            return True
        asked = next((path[len(start) :] for start in FILES if path.startswith(start)), None)
        if asked is None:
            return False
        if "://" in asked or "\0" in asked or names_a_share(asked):
            return True
        try:
            place = Path(os.path.abspath(asked)).resolve()
            root = self.service.root.resolve()
        except (OSError, RuntimeError, ValueError):
            return True
        if not place.is_relative_to(root):
            return False  # gradio knows what it may give of its own folder
        parts = place.relative_to(root).parts  # the workspace's name, then the file's
        return not (
            len(parts) > 1
            and is_public(Path(*parts[1:]))
            and (is_picture(place.name) or parts[1:] in SHEETS)
        )

    async def _bounded(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, as long as the body is no longer than it may be."""
        most = _most_bytes(scope["path"])
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if most is None or scope["method"] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return
        if not (length.isascii() and length.isdigit()) or len(length) > 15 or int(length) > most:
            await _answer(send, 413, _too_large(most))
            return
        seen = 0
        begun = False
        over = False

        async def counted() -> Any:
            nonlocal seen, over
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most and not over:  # sent in chunks, which tell no length before
                over = True
                if not begun:
                    await _answer(send, 413, _too_large(most))
            return {"type": "http.disconnect"} if over else message

        async def answered(message: Any) -> None:
            nonlocal begun
            if not over:
                begun = True
                await send(message)

        try:
            await self.app(scope, counted, answered)
        except Exception:
            if not over:  # else it only says that the client is gone
                raise


def _name(text: str) -> str:
    found = split_host(text)
    if found is None:
        raise SettingsError(
            f"--allow-host {text}: found no host's name, expected one such as studio.example"
        )
    return found[0]


def _most_bytes(path: str) -> int | None:
    """The longest body of a route; None for the API's, which look themselves."""
    if path.startswith(f"{PREFIX}/"):
        return None
    return MAX_UPLOAD if path.startswith(UPLOAD) else MAX_FORM


def _too_large(most: int) -> str:
    return f"found a body of more than {most // 2**20} MiB, expected less"


def _file_headers(path: str) -> dict[str, str]:
    return file_headers(path) if path.startswith(FILES) else {}


def _with_headers(send: Any, more: Mapping[str, str]) -> Any:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in more.items():
                # gradio's own attachment tells the file's name.
                if name != "Content-Disposition" or not headers.get(name, "").startswith(
                    "attachment"
                ):
                    headers[name] = value
        await send(message)

    return sent


async def _answer(send: Any, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
