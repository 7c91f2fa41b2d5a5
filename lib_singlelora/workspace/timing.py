"""How long a picture takes, measured on earlier ones of the workspace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import WorkspaceError
from ..files.fileio import read_json, write_json
from ..host import Host
from .stage_record import Map, check
from .workspace import Workspace


class Stopwatch:
    """Seconds of a picture, without the first call, which also loads the networks.

    Where there was no other, and it drew several, they stand for the pace.
    """

    def __init__(self) -> None:
        self.made = 0
        self._is_first = True
        self._timed = 0
        self._seconds = 0.0
        self._work = 0.0  # pixels times steps

    @contextmanager
    def measured(self, pictures: int, work: int) -> Iterator[None]:
        """Time one call.  work: pixels times steps of all its pictures."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        if self.made and self._is_first:
            self._seconds, self._timed, self._work = 0.0, 0, 0.0
            self._is_first = False
        if self.made or pictures > 1:
            self._seconds += seconds
            self._timed += pictures
            self._work += work
        self.made += pictures

    @property
    def pace(self) -> float:
        """Seconds of a picture, 0 while unknown."""
        return self._seconds / self._timed if self._timed else 0.0

    @property
    def rate(self) -> float:
        """Seconds of a pixel in one step, 0 while unknown."""
        return self._seconds / self._work if self._work else 0.0

    def left(self, of: int) -> str:
        """How long the rest takes, in words, behind a semicolon."""
        return f"; {in_words(self.pace * (of - self.made))} left" if self.pace else ""


def in_words(seconds: float) -> str:
    """A duration for the user."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def seconds_per_picture(
    workspace: Workspace, host: Host, size: tuple[int, int], steps: int
) -> float | None:
    """Seconds of a picture; None while nothing was measured.

    As measured at this size and these steps, else estimated from other pictures.

    size: width and height, pixels.
    """
    width, height = size
    known = _read(workspace)
    if (exact := known.get(_exact(host, size, steps))) is not None:
        return exact
    rate = known.get(_rough(host))
    return None if rate is None else rate * width * height * steps


def save_pace(
    workspace: Workspace,
    host: Host,
    watch: Stopwatch,
    size: tuple[int, int] | None = None,
    steps: int = 0,
) -> None:
    """Save what was measured, if anything.

    size, steps: of every picture; None and 0 where they differ.
    """
    if not watch.pace:
        return
    exact = {_exact(host, size, steps): round(watch.pace, 3)} if size else {}
    write_json(_file(workspace), {**_read(workspace), _rough(host): watch.rate, **exact})


def _rough(host: Host) -> str:
    return f"{host.name} {host.checkpoint.sha256[:10]} a pixel and step"


def _exact(host: Host, size: tuple[int, int], steps: int) -> str:
    return f"{host.name} {host.checkpoint.sha256[:10]} {size[0]}x{size[1]} {steps} steps"


def _file(workspace: Workspace) -> Path:
    return workspace.root / "log" / "pace.json"


def _read(workspace: Workspace) -> dict[str, float]:
    try:
        values = read_json(_file(workspace))
        check(values, Map(float), "log/pace.json")
    except (OSError, WorkspaceError):
        return {}
    return {key: float(value) for key, value in values.items() if value > 0}
