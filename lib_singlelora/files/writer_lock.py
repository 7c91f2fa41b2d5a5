"""One writer at a time in a workspace; reading never waits.

The system releases the lock when the process ends, even by kill -9.  A file beside it names the
holder, for the message to the second writer.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import ConflictError, NotFoundError, WorkspaceError
from .fileio import disk_error, read_json, write_json

log = logging.getLogger(__name__)

JOB_WAIT = 3.0  # seconds: a manual change ends within them, a job does not
CHANGE_WAIT = 30.0  # seconds: a change takes milliseconds, but many may come at once
LOCK = ".singlelora.lock"
HOLDER = ".singlelora.writer.json"
# Errors of file systems without locks, such as some network shares.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass
class _Hold:
    """A lock that a thread of this process holds.  depth: how often it entered."""

    thread: int
    depth: int = 1


_guard = threading.Lock()
_threads: dict[Path, threading.Lock] = {}
_holds: dict[Path, _Hold] = {}
_warned: set[Path] = set()


@contextmanager
def writing(root: Path, what: str, wait: float | None = None) -> Iterator[bool]:
    """Hold a workspace against every other writer; a thread that holds it may enter again.

    what: the work, for the message to others.
    wait: seconds, default JOB_WAIT.
    Yields: True for the outermost entry.
    Raises: ConflictError, naming the holder; WorkspaceError, when the lock cannot be written.
    """
    try:
        with _exclusive(root / LOCK, JOB_WAIT if wait is None else wait) as outermost:
            if outermost:
                _tell_holder(root, what)
            try:
                yield outermost
            finally:
                if outermost:
                    with contextlib.suppress(OSError):
                        (root / HOLDER).unlink()
    except _BusyError as busy:
        raise ConflictError(
            f"{root}: found {_holder_of(root)} writing in it, expected no other writer; wait for"
            " it, or stop it, then call again"
        ) from busy


@contextmanager
def changing(root: Path, part: str, wait: float = CHANGE_WAIT) -> Iterator[None]:
    """Hold one part of a workspace for a short change, which is allowed during a job.

    part: 'settings', or 'additions' (files that no job touches).
    Raises: ConflictError, when it stays held.
    """
    try:
        with _exclusive(root / f".singlelora.{part}.lock", wait):
            yield
    except _BusyError as busy:
        raise ConflictError(
            f"{root}: found its {part} locked by other changes for {wait:.0f} s; call again"
        ) from busy


class _BusyError(Exception):
    """Another thread or process holds the lock."""


@contextmanager
def _exclusive(path: Path, wait: float) -> Iterator[bool]:
    """Hold a lock file against other threads, then against other processes."""
    if not path.parent.is_dir():  # filelock would make it
        raise NotFoundError(
            f"{path.parent}: found no such folder, expected the workspace; it was deleted or moved"
        )
    key = path.parent.resolve() / path.name
    me = threading.get_ident()
    with _guard:
        hold = _holds.get(key)
        if again := hold is not None and hold.thread == me:
            hold.depth += 1
        between = _threads.setdefault(key, threading.Lock())
    if again and hold is not None:
        try:
            yield False
        finally:
            hold.depth -= 1
        return
    started = time.monotonic()
    if not between.acquire(timeout=wait):
        raise _BusyError
    try:
        lock = _acquired(path, max(0.0, wait - (time.monotonic() - started)))
        _holds[key] = _Hold(me)
        try:
            yield True
        finally:
            del _holds[key]
            if lock is not None:
                lock.release()
    finally:
        between.release()


def _acquired(path: Path, wait: float) -> FileLock | None:
    """The lock, held; None on a file system without locks.  Raises: _BusyError, WorkspaceError."""
    if path.is_symlink():  # older releases of filelock empty the file that it leads to
        raise WorkspaceError(f"{path}: found a link, expected a lock file; delete it")
    lock = FileLock(str(path), timeout=wait, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise _BusyError from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise disk_error(error, path) from error
        if path.parent not in _warned:
            _warned.add(path.parent)
            log.warning(
                "%s: the file system has no locks: make sure that only one program writes here",
                path.parent,
            )
        return None
    return lock


def _tell_holder(root: Path, what: str) -> None:
    with contextlib.suppress(WorkspaceError):  # a full disk must not stop the job here
        write_json(
            root / HOLDER,
            {
                "what": what,
                "process": os.getpid(),
                "machine": platform.node(),
                "since": time.time(),
            },
        )


def _holder_of(root: Path) -> str:
    """The holder of the workspace, as far as its file tells."""
    try:
        values = read_json(root / HOLDER)
        what, number, machine, since = (
            values[key] for key in ("what", "process", "machine", "since")
        )
        if not (
            isinstance(what, str)
            and isinstance(number, int)
            and isinstance(since, float)
            and math.isfinite(since)
        ):
            raise TypeError
        shown = "".join(letter for letter in what[:80] if letter.isprintable())
        elsewhere = "" if machine == platform.node() else " on another machine"
        return (
            f"'{shown}' (process {number}{elsewhere}, since"
            f" {time.strftime('%Y-%m-%d %H:%M', time.localtime(since))})"
        )
    except (OSError, WorkspaceError, LookupError, TypeError, ValueError, OverflowError):
        return "another program"
