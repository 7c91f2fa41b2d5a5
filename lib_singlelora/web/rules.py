"""Rules of the web that the HTTP API and the page share: who asks from where, and how files are
sent.
"""

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
    """Name and port of a Host header or of an origin's place: '[::1]:7870' is ('::1', 7870).

    None for what is no such header.
    """
    if not text.isascii() or any(letter in text for letter in "/@\\?# \t,"):
        return None
    try:
        parts = urlsplit(f"//{text}")
        return ((parts.hostname or "").rstrip("."), parts.port) if parts.hostname else None
    except ValueError:  # a bracket that does not close, a port that is no number
        return None


def is_address(name: str) -> bool:
    """Whether it is an IP address, which no foreign name server can have made up."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def same_place(origin: str, host: str) -> bool:
    """Whether an origin such as 'http://127.0.0.1:7870' is that of the Host header."""
    try:
        scheme, place = urlsplit(origin).scheme, urlsplit(origin).netloc
    except ValueError:
        return False
    asked, own = split_host(place), split_host(host)
    if asked is None or own is None or scheme not in DEFAULT_PORTS:
        return False
    default = DEFAULT_PORTS[scheme]
    return (asked[0], asked[1] or default) == (own[0], own[1] or default)


def origin_problem(
    headers: Mapping[str, str], trusted: Callable[[str], bool] = lambda origin: False
) -> str:
    """Why a request that may change something is refused, or '' where it is not.

    Browsers say in Origin and Sec-Fetch-Site which page sent a request, and pages cannot change
    that; programs send neither.  trusted: further origins that may ask.
    trusted: further origins that may ask.
    Source: OWASP, Cross-Site Request Forgery Prevention; W3C, Fetch Metadata Request Headers.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "")
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


# What a browser shows and never runs; SVG is not among them, for it can hold scripts.
PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}
SHEET = ("plots", "sheet.html")


@cache
def sheet_policy() -> str:
    """The Content-Security-Policy under which a sheet runs the product's own script and nothing
    else.

    A workspace may come from elsewhere, and with it a sheet that was tampered with; served from
    this address its scripts could use everything that the page can.
    """
    from ..sheets.page import script_text

    digest = base64.b64encode(hashlib.sha256(script_text().encode("utf-8")).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src"
        " 'self' data:; base-uri 'none'; form-action 'none'; sandbox allow-scripts"
        " allow-same-origin"
    )


def is_picture(name: str) -> bool:
    """Whether a file of this name is shown by browsers as a picture, whatever is in it."""
    return PurePath(name).suffix.lower() in PICTURES


def file_headers(name: str) -> dict[str, str]:
    """Headers for a file: pictures may be looked at, everything else is only saved and can run
    nothing.
    """
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return headers if is_picture(name) else {**headers, "Content-Disposition": "attachment"}


PREFIX = "/singlelora/v1"
