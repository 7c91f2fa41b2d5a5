"""The workspace's log of events, one JSON object per line.

A failure to write it never stops the work.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .fileio import is_link

log = logging.getLogger(__name__)

PART_BYTES = 16 * 2**20  # per part, about 60,000 steps; there are at most two parts


class EventLog:
    """Appends JSON lines to `log/events.jsonl`.

    A part that has grown to `part_bytes` becomes `events.1.jsonl` and replaces the one before it;
    `read` gives both. Each line is written by one call, so that several writers do not mix within a
    line; a line that a power cut or a full disk tore is skipped by readers and spoils no other.
    """

    def __init__(self, path: Path, part_bytes: int = PART_BYTES) -> None:
        self.path = path
        self.part_bytes = part_bytes

    @property
    def earlier(self) -> Path:
        """The part before the present one."""
        return self.path.with_name(f"{self.path.stem}.1{self.path.suffix}")

    def write(self, event: str, **values: Any) -> None:
        """Append one event with its time.

        Never raises; a failure goes to the program's own log.
        """
        try:
            self._append(_line(event, values))
        except Exception as error:  # noqa: BLE001 - a full disk or memory: the job goes on
            with contextlib.suppress(Exception):
                log.warning("%s: the event %r could not be written: %r", self.path, event, error)

    def _append(self, line: bytes) -> None:
        # A workspace that was deleted is not brought back by its log; and one that came from
        # elsewhere does not have us write through a link, its own or its folder's, or wait at a
        # pipe.
        folder = self.path.parent
        if not folder.parent.is_dir() or self.path.is_symlink() or not _is_plain(self.path):
            return
        if folder.is_dir() and is_link(folder):
            return
        folder.mkdir(exist_ok=True)
        self._rotate()
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                # The line before was torn; this one must not be lost with it
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)

    def _rotate(self) -> None:
        """Rename a full part; other processes may still write to the part that they opened."""
        if not self._is_full():
            return
        # On failure (another process holds the lock, Windows moves no open file) a later event
        # tries again.
        with (
            contextlib.suppress(OSError, Timeout),
            FileLock(self.path.with_suffix(".lock"), timeout=0),
        ):
            if self._is_full():
                self.path.replace(self.earlier)

    def _is_full(self) -> bool:
        try:
            return self.path.stat().st_size >= self.part_bytes
        except FileNotFoundError:
            return False

    def read(self) -> list[dict[str, Any]]:
        """All whole events of both parts, oldest first."""
        return [event for path in (self.earlier, self.path) for event in _events_of(path)]


def _is_plain(path: Path) -> bool:
    """True for a file, and for none; by one look, for another writer may begin it meanwhile."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _line(event: str, values: dict[str, Any]) -> bytes:
    text = json.dumps(
        {"time": round(time.time(), 3), "event": event, **values}, ensure_ascii=False, default=str
    )
    # Half of a surrogate pair (a file name in another encoding) becomes its own JSON escape and is
    # read back as it was.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _events_of(path: Path) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError:
        return []
    events = []
    # Not splitlines(): it also splits at characters that JSON leaves as they are within a line,
    # such as U+2028.
    for line in data.decode("utf-8", "replace").split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
    return events
