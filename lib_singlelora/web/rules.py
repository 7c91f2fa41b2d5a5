"""Web rules shared by HTTP API and page: who may ask from where, and how files are served."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import PurePath
from urllib.parse import urlsplit

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOCAL = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def split_host(text: str) -> tuple[str, int | None] | None:
    """Name and port of a Host header or an origin: '[::1]:7870' is ('::1', 7870).

    None for an invalid header.
    """
    if not text.isascii() or any(letter in text for letter in "/@\\?# \t,"):
        return None
    try:
        parts = urlsplit(f"//{text}")
        return ((parts.hostname or "").rstrip("."), parts.port) if parts.hostname else None
    except ValueError:  # an open bracket, a port that is no number
        return None


def is_address(name: str) -> bool:
    """True for an IP address, which no foreign name server can forge."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def same_place(origin: str, host: str) -> bool:
    """True if an origin such as 'http://127.0.0.1:7870' is that of the Host header."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    page = split_host(parts.netloc)
    server = split_host(host)
    if page is None or server is None or parts.scheme not in DEFAULT_PORTS:
        return False
    default = DEFAULT_PORTS[parts.scheme]
    return (page[0], page[1] or default) == (server[0], server[1] or default)


def origin_problem(
    headers: Mapping[str, str], trusted: Callable[[str], bool] = lambda origin: False
) -> str:
    """The reason to refuse a request that may change something, or ''.

    Browsers say in Origin and Sec-Fetch-Site which page sent a request, and pages cannot change
    that; programs send neither.
    trusted: True for further origins that may ask.
    Source: OWASP, Cross-Site Request Forgery Prevention; W3C, Fetch Metadata Request Headers.
    """
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "")
    if origin is not None:
        if same_place(origin, headers.get("host", "")) or trusted(origin):
            return ""
        return f"found a request from a page of {origin[:100]}, expected one from this address"
    if site in ("cross-site", "same-site"):
        return (
            f"found a request from a page of another address ({site}), expected one from this"
            " address"
        )
    return ""


# Shown by browsers and never run; SVG is not among them, as it can hold scripts.
PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}
# Sheets, and whether one is still being drawn
SHEETS = {("plots", "sheet.html"): False, ("plots", "live.html"): True}


@cache
def sheet_policy(live: bool = False) -> str:
    """The Content-Security-Policy under which a sheet runs only the product's own script.

    A workspace may come from elsewhere, with a sheet that was tampered with; served from this
    address its scripts could do everything that the page can.

    live: True for one that is being drawn, which has a script more.
    """
    from ..sheets.page import live_script_text, script_text

    texts = (script_text(), live_script_text()) if live else (script_text(),)
    digests = [hashlib.sha256(text.encode("utf-8")).digest() for text in texts]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src"
        " 'self' data:; base-uri 'none'; form-action 'none'; sandbox allow-scripts"
        " allow-same-origin"
    )


def is_picture(name: str) -> bool:
    """True if browsers show a file of this name as a picture, whatever its content."""
    return PurePath(name).suffix.lower() in PICTURES


def file_headers(name: str) -> dict[str, str]:
    """Headers for a file: pictures are shown, everything else is saved and cannot run."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return headers if is_picture(name) else {**headers, "Content-Disposition": "attachment"}


PREFIX = "/singlelora/v1"
