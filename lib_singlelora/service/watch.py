"""What a page that stays open is told of: jobs, the list of workspaces, and what changed in one.

Each is a plain value; whoever watches compares it with the last one.  A workspace is told by the
revision of its parts: a short text that changes whenever a file of that part does.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ..files.fileio import fingerprint
from ..jobs import Ticket, plain_values
from .service import Service, view_of
from .steps import workspace_and_word

Seen = TypeVar("Seen")
FRESH = 0.3  # seconds that an answer is given again to whoever asks next
NEWEST = 24  # pictures of a job
# Part of a workspace -> what its revision looks at, as patterns below its folder
PARTS: dict[str, tuple[str, ...]] = {
    "settings": ("settings.json",),
    "steps": ("log/*.json",),
    "source": ("source", "source/*.png", "source/*.jpg", "source/artifacts.json"),
    "crops": ("image/*", "log/crop.json"),
    "captions": ("image/*", "log/caption.json", "log/edits.json"),
    "regularization": ("reg/*", "reg/*/*.txt", "log/regularize.json"),
    "model": ("model", "model/*"),
    "plots": ("plots", "plots/*"),
    "inpaint": ("inpaint", "inpaint/*", "inpaint/accepted/*"),
    "generated": ("generated", "generated/*"),
}


class Watch:
    """Answers for all open pages, each looked up once for those that ask at the same time."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Any]] = {}

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs of the queue, oldest first, as a page shows them."""
        return self._fresh("jobs", lambda: [page_view(t) for t in self.service.runner.tickets])

    def workspaces(self) -> list[str]:
        """The names of the workspaces, the last changed first."""
        return self._fresh("workspaces", lambda: plain_values(self.service.names()))

    def revision(self, name: str) -> dict[str, str]:
        """The revision of each part of a workspace; empty for one that is not there."""
        return self._fresh(f"workspace {name}", lambda: self._revision(name))

    def preset(self) -> dict[str, str]:
        """The training preset that the checkpoint in use asks for, and the checkpoint."""
        asked = self.service.host.asked_preset
        return {"name": asked.name, "checkpoint": asked.checkpoint}

    def _fresh(self, key: str, look: Callable[[], Seen]) -> Seen:
        with self._lock:
            now = time.monotonic()
            known = self._known.get(key)
            if known is None or now - known[0] > FRESH:
                known = self._known[key] = (now, look())
            if len(self._known) > 1000:  # names of workspaces that nobody looks at any more
                self._known = {key: known}
            seen: Seen = known[1]
            return seen

    def _revision(self, name: str) -> dict[str, str]:
        if name not in self.service.names():
            return {}
        root = self.service.root / name
        return {
            part: fingerprint(sorted(_times(root, patterns)))[:10]
            for part, patterns in PARTS.items()
        }


def _times(root: Path, patterns: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for pattern in patterns:
        with contextlib.suppress(OSError):
            for path in root.glob(pattern):
                with contextlib.suppress(OSError):  # deleted meanwhile
                    yield path.as_posix(), path.stat().st_mtime_ns


def page_view(ticket: Ticket[Any]) -> dict[str, Any]:
    """A job as `view_of` has it, with its workspace, its word and its newest pictures.

    Pictures are named below the folder of the workspaces' names, so that a page can ask for them.
    """
    name, word = workspace_and_word(ticket)
    view = view_of(ticket)
    view["pictures"] = [
        relative
        for path in ticket.job.newest(NEWEST)
        if (relative := below(path, name)) is not None
    ]
    return plain_values({**view, "workspace": name, "word": word})


def below(path: Path, name: str) -> str | None:
    """The path below the folder of that name, with forward slashes; None for one elsewhere."""
    parts = path.parts
    if name not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index(name)
    return "/".join(parts[at + 1 :]) or None
