"""What every request of the HTTP API passes before its body is read, and how errors become answers.

The guard is the routes' own class, for the WebUI's application cannot be given middleware any more
when an extension is asked to add its routes.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from ..errors import ConflictError, HostBusyError, NotFoundError, SingleLoraError, TooManyError
from .rules import SAFE_METHODS, origin_problem

MAX_BODY = 2 * 1024 * 1024  # bytes
MAX_PICTURE = 64 * 1024 * 1024  # bytes, decoded
MAX_PICTURE_BODY = MAX_PICTURE * 4 // 3 + MAX_BODY
DEEPEST = 16  # lists in lists; ours need four
LONGEST_ERROR = 1000  # characters
PAGE_COOKIE = "singlelora-page"
STATUS: tuple[tuple[type[SingleLoraError], int], ...] = (
    (NotFoundError, 404),
    (ConflictError, 409),
    (HostBusyError, 409),
    (TooManyError, 429),
    (SingleLoraError, 422),
)

log = logging.getLogger(__name__)
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Guard:
    """Who may ask, and from where.

    users: name -> password for HTTP Basic.
    session: the name of the user whose page sent the request, where pages have a login.
    trusted: whether pages of this origin may ask although it is another one.
    page_key: what the page itself shows in a cookie, where the API has users and the page has no
        login: whoever may open the page may do all that it can.
    Without users and session everyone may ask, as on the page itself.
    """

    users: Mapping[str, str] = field(default_factory=dict)
    session: Callable[[Request], Optional[str]] | None = None  # noqa: UP045
    trusted: Callable[[str], bool] = lambda origin: False
    page_key: str = ""

    def check(self, request: Request, most: int) -> None:
        """Login, then origin, then the body's type and size; nothing of the body is read.

        Raises: HTTPException.
        """
        if not self._known(request):
            raise HTTPException(
                401,
                "found no valid user, expected HTTP Basic as in --api-auth, or a login of the page",
                {"WWW-Authenticate": "Basic"},
            )
        if request.method in SAFE_METHODS:
            return
        if problem := origin_problem(request.headers, self.trusted):
            raise HTTPException(403, problem)
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise HTTPException(
                400, "found a Content-Length that is no number, expected the body's bytes"
            )
        if len(length) > 15 or int(length) > most:
            raise too_large(most)
        has_body = int(length) > 0 or "transfer-encoding" in request.headers
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and kind != "application/json":
            raise HTTPException(415, f"found the content type '{kind}', expected application/json")

    def _known(self, request: Request) -> bool:
        if not self.users and self.session is None:
            return True
        if self.session is not None and self.session(request) is not None:
            return True
        shown = request.cookies.get(PAGE_COOKIE, "")
        is_page = self.session is None and self.page_key and shown
        if is_page and secrets.compare_digest(shown.encode(), self.page_key.encode()):
            return True
        return bool(self.users) and _basic(request.headers.get("authorization", ""), self.users)

    def route(self) -> type[APIRoute]:
        """The class of routes that are guarded by it."""
        guard = self

        class GuardedRoute(APIRoute):  # type: ignore[misc]
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                handle = super().get_route_handler()
                most = getattr(self.endpoint, "most_bytes", MAX_BODY)

                async def guarded(request: Request) -> Response:
                    guard.check(request, most)
                    return await answered(handle, _Bounded(request, most))

                return guarded

        return GuardedRoute


async def answered(
    handle: Callable[[Request], Coroutine[Any, Any, Response]], request: Request
) -> Response:
    """The handler's response; our errors become HTTP's by their type.  Raises: HTTPException."""
    try:
        response = await handle(request)
    except RequestValidationError as error:
        raise HTTPException(422, _clipped(_in_words(error))) from None
    except SingleLoraError as error:
        status = next(status for kind, status in STATUS if isinstance(error, kind))
        raise HTTPException(status, _clipped(str(error))) from error
    except RecursionError:
        raise HTTPException(422, "found a value nested too deeply, expected plain values") from None
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def takes_picture(endpoint: Endpoint) -> Endpoint:
    """Let a route's body be as long as a picture in base64."""
    endpoint.most_bytes = MAX_PICTURE_BODY  # type: ignore[attr-defined]
    return endpoint


def too_large(most: int) -> HTTPException:
    """The answer to a body that is longer than it may be."""
    return HTTPException(413, f"found a body of more than {most / 2**20:.0f} MiB, expected less")


def decoded_picture(text: str) -> bytes:
    """The bytes of a picture in base64; a data URL's head is allowed.  Raises: HTTPException."""
    body = text.partition(",")[2] if text.startswith("data:") else text
    if len(body) > MAX_PICTURE * 4 // 3 + 4:
        raise HTTPException(
            413, f"picture: found more than {MAX_PICTURE // 2**20} MiB, expected less"
        )
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:  # also for letters beyond ASCII
        raise HTTPException(
            422, "picture: found no base64, expected the file's bytes in base64"
        ) from None


class _Bounded(Request):  # type: ignore[misc]
    """A request whose body is read up to a limit, and is JSON of plain values."""

    def __init__(self, request: Request, most: int) -> None:
        super().__init__(request.scope, request.receive)
        self._most = most

    async def body(self) -> bytes:
        if not hasattr(self, "_bounded"):
            pieces = []
            length = 0
            async for piece in self.stream():
                length += len(piece)
                if length > self._most:  # a body in chunks tells no length before
                    raise too_large(self._most)
                pieces.append(piece)
            self._bounded = b"".join(pieces)
        return self._bounded

    async def json(self) -> Any:
        try:
            value = json.loads(await self.body(), parse_constant=_no_number, parse_float=_finite)
            if not isinstance(value, dict):
                raise HTTPException(
                    422, f"found a {type(value).__name__} as the body, expected an object"
                )
            _check_plain(value)
        except RecursionError:
            raise HTTPException(
                422, "found JSON nested too deeply, expected plain values"
            ) from None
        except ValueError as error:
            raise HTTPException(
                400, _clipped(f"found no JSON that can be read ({error}), expected an object")
            ) from None
        return value


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _check_plain(value: Any) -> None:
    """Raises: HTTPException, for NUL, half characters and deep nesting anywhere in a JSON value."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for each in level:
            if isinstance(each, str):
                _check_text(each)
            elif isinstance(each, dict):
                for key in each:
                    _check_text(key)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        if not below:
            return
        level = below
    raise HTTPException(422, f"found JSON more than {DEEPEST} levels deep, expected plain values")


def _check_text(text: str) -> None:
    try:
        if text.isascii() or text.encode("utf-8"):
            plain = "\0" not in text
    except UnicodeEncodeError:  # a half of a surrogate pair, as "\ud800" gives
        plain = False
    if not plain:
        raise HTTPException(
            422, "found text with NUL or half a character in it, expected plain Unicode"
        )


def _basic(header: str, known: Mapping[str, str]) -> bool:
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:  # no base64, letters beyond ASCII, no UTF-8
        return False
    expected = known.get(name)
    return expected is not None and secrets.compare_digest(password.encode(), expected.encode())


def _in_words(error: RequestValidationError) -> str:
    """What is wrong with each field, without what was sent."""
    told = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"] if part != "body") or "body"
        told.append(f"{place}: {each['msg']}")
    return "; ".join(told)


def _clipped(text: str) -> str:
    """A message in one line that every client can read, whatever was sent."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]} …"
