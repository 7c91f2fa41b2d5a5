"""How long a picture takes, as earlier ones of the workspace were measured, and how long the rest
will.
"""

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
    """Seconds of a picture, without the first call, which also loads the networks."""

    def __init__(self) -> None:
        self.made, self._timed, self._seconds, self._work = 0, 0, 0.0, 0.0

    @contextmanager
    def measured(self, pictures: int, work: int) -> Iterator[None]:
        """Time one call.  work: pixels times steps of all its pictures."""
        started = time.monotonic()
        yield
        if self.made:
            self._seconds += time.monotonic() - started
            self._timed += pictures
            self._work += work
        self.made += pictures

    @property
    def pace(self) -> float:
        """Seconds of a picture, 0 while unknown."""
        return self._seconds / self._timed if self._timed else 0.0

    @property
    def rate(self) -> float:
        """Seconds of a pixel and step, 0 while unknown."""
        return self._seconds / self._work if self._work else 0.0

    def left(self, of: int) -> str:
        """How long the rest takes, in words, behind a semicolon."""
        return f"; {in_words(self.pace * (of - self.made))} left" if self.pace else ""


def in_words(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def expected(workspace: Workspace, host: Host, size: tuple[int, int], steps: int) -> float | None:
    """Seconds of a picture: as measured at this size and these steps, else by what others took;
    None for nothing known.
    """
    known, (width, height) = _read(workspace), size
    if (exact := known.get(_exact(host, size, steps))) is not None:
        return exact
    rate = known.get(_rough(host))
    return None if rate is None else rate * width * height * steps


def keep(
    workspace: Workspace,
    host: Host,
    watch: Stopwatch,
    size: tuple[int, int] | None = None,
    steps: int = 0,
) -> None:
    """Note what was measured, if anything.  size: of every picture, where they had one."""
    if not watch.pace:
        return
    own = {_exact(host, size, steps): round(watch.pace, 3)} if size else {}
    write_json(_file(workspace), {**_read(workspace), _rough(host): watch.rate, **own})


def _rough(host: Host) -> str:
    return f"{host.name} {host.checkpoint.sha256[:10]} a pixel and step"


def _exact(host: Host, size: tuple[int, int], steps: int) -> str:
    return f"{host.name} {host.checkpoint.sha256[:10]} {size[0]}x{size[1]} {steps} steps"


def _file(workspace: Workspace) -> Path:
    return workspace.root / "log" / "pace.json"


def _read(workspace: Workspace) -> dict[str, float]:
    try:
        found = read_json(_file(workspace))
        check(found, Map(float), "log/pace.json")
    except (OSError, WorkspaceError):
        return {}
    return {key: float(value) for key, value in found.items() if value > 0}
