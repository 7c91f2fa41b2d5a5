"""What the command line prints: progress and errors on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..jobs import Progress

DONE = 0
FAILED = 1
USAGE = 2
CANCELLED = 130


def use_plain_streams() -> None:
    """Print any character on any terminal (Windows' code pages lack most of them)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def fail(text: str, status: int = FAILED) -> int:
    """Print an error as one line on stderr; returns the exit status."""
    print(f"singlelora: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return status


class ProgressPrinter:
    """Progress on stderr: one line that moves on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.is_terminal = bool(getattr(stream, "isatty", lambda: False)())
        self.last_stage = ""
        self.last_time = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        ended = progress.total and progress.done >= progress.total
        pause = 0.2 if self.is_terminal else 10.0
        if progress.stage == self.last_stage and not ended and now - self.last_time <= pause:
            return
        self.last_stage = progress.stage
        self.last_time = now
        line = f"{progress.stage:>10} {progress.fraction:4.0%}  {progress.message}"
        if self.is_terminal:
            end = "\n" if ended else ""
            print(f"\r\033[K{line[:110]}", end=end, file=self.stream, flush=True)
        else:
            print(line[:200], file=self.stream, flush=True)
