"""The stream of events for pages that stay open: jobs, the list of workspaces, one of them.

One GET that never ends, in the form that a browser's EventSource reads: first all as it is, then
each thing again whenever it changes.  A page that comes back after a break thus misses nothing.
Source: WHATWG HTML, Server-sent events.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from ..errors import SingleLoraError, TooManyError
from ..service.service import Service
from ..service.watch import Watch
from ..web.rules import origin_problem

LOOK = 0.4  # seconds between two looks
ALIVE = 10.0  # seconds without news after which a line says that the connection lives
LONGEST = 600.0  # seconds; the browser then asks again by itself, and a dead connection ends
MOST = 64  # pages at a time
HEADERS = {
    "Cache-Control": "no-store",
    # Says that nothing is to be packed: the WebUI's GZip would hold events back until it has a
    # block full of them.
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",  # the same for nginx
}


class Seats:
    """How many streams are open; there are no more than `most`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._taken = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises: TooManyError, when none is left."""
        if self._taken >= self._most:
            raise TooManyError(f"found {self._taken} open pages, expected fewer; close some")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One of them."""
        with self._lock:
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1


def add_routes(
    routes: APIRouter, service: Service, trusted: Callable[[str], bool] = lambda origin: False
) -> None:
    """Add the route.  trusted: as in Guard."""
    watch = Watch(service)
    seats = Seats()

    @routes.get(
        "/events",
        summary="Jobs, workspaces and the parts of one that changed, as server-sent events",
        response_class=StreamingResponse,
    )
    async def events(request: Request, workspace: str = "") -> StreamingResponse:
        if problem := origin_problem(request.headers, trusted):
            # Though it only reads: pages of other sites could take all seats.
            raise HTTPException(403, problem)
        seats.check()  # before the answer begins: afterwards nothing can be refused

        # Set by a server that tells its end; one that waits for its streams would never end.
        is_ending = getattr(request.app.state, "is_ending", bool)

        async def is_gone() -> bool:
            return is_ending() or await request.is_disconnected()

        async def seated() -> AsyncIterator[str]:
            with seats.taken():
                async for line in stream(watch, workspace, is_gone):
                    yield line

        return StreamingResponse(seated(), media_type="text/event-stream", headers=HEADERS)


async def stream(
    watch: Watch, workspace: str, is_gone: Callable[[], Any], longest: float = LONGEST
) -> AsyncIterator[str]:
    """The events' lines.

    workspace: the one whose parts are told.
    is_gone: awaited; True once nobody listens any more.
    longest: seconds until it ends.
    """
    began = told = time.monotonic()
    last: dict[str, str] = {}
    yield "retry: 1000\n\n"
    while time.monotonic() - began < longest and not await is_gone():
        for name, value in (await run_in_threadpool(look, watch, workspace)).items():
            text = json.dumps(value, ensure_ascii=False)
            if last.get(name) != text:
                last[name] = text
                told = time.monotonic()
                yield f"event: {name}\ndata: {text}\n\n"
        if time.monotonic() - told > ALIVE:
            told = time.monotonic()
            yield "event: alive\ndata: {}\n\n"
        await asyncio.sleep(LOOK)


def look(watch: Watch, workspace: str) -> dict[str, Any]:
    """All that the events tell, as it is now, by the event's name."""
    found: dict[str, Any] = {"jobs": watch.jobs(), "workspaces": watch.workspaces()}
    try:
        found["checkpoint"] = watch.preset()
    except SingleLoraError:
        found["checkpoint"] = {"name": "", "checkpoint": ""}
    if workspace:
        found["workspace"] = {"name": workspace, "revision": watch.revision(workspace)}
    return found
