"""Jobs: progress, cancellation and the one runner.

A stage gets a `Job`, reports through `job.report(Progress(...))` and stops at `job.raise_if_cancelled()`.
Whoever watches reads the immutable `job.view()`.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from .errors import JobCancelled, SingleLoraError

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Result = TypeVar("Result")
KEPT_PICTURES = 48


@dataclass(frozen=True)
class Progress:
    """One report of a stage.

    stage: the stage's name.  done, total: steps of its own unit.  message: one line for the user.
    values: figures such as loss, lr.  pictures: newest files to show.
    """

    stage: str
    done: int = 0
    total: int = 0
    message: str = ""
    values: dict[str, float] = field(default_factory=dict)
    pictures: tuple[Path, ...] = ()

    @property
    def fraction(self) -> float:
        """Share done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


@dataclass(frozen=True)
class JobView:
    """What a page shows of a job; a copy that never changes.  seconds, eta: seconds; eta None while unknown."""

    title: str
    state: State
    progress: Progress
    seconds: float
    eta: float | None
    error: str | None


class EventLog:
    """Appends JSON lines to `log/events.jsonl`; each line is flushed, a torn last line is skipped by readers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Append one event with its time."""
        if not self.path.parent.parent.is_dir():  # the workspace was deleted; its log must not bring it back
            return
        self.path.parent.mkdir(exist_ok=True)
        line = json.dumps({"time": round(time.time(), 3), "event": event, **values}, ensure_ascii=False, default=str)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All whole events."""
        if not self.path.exists():
            return []
        events = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:  # the line that a power cut tore
                continue
        return events


class Job:
    """One piece of work that can be watched and cancelled; safe to use from several threads."""

    def __init__(self, title: str = "job", listener: Callable[[Progress], None] | None = None) -> None:
        self.title = title
        self.state: State = "waiting"
        self.error: str | None = None
        self.trace: str | None = None
        self.result: Any = None
        self._listener = listener
        self._cancel = threading.Event()
        self._lock = threading.Lock()
        self._progress = Progress(stage="")
        self._newest: list[Path] = []
        self._stage_started = self._started = time.monotonic()
        self._stage_first = 0
        self._ended: float | None = None
        self.events: EventLog | None = None

    def report(self, progress: Progress) -> None:
        """Publish where the work is."""
        with self._lock:
            if progress.stage != self._progress.stage or progress.done < self._progress.done:
                self._stage_started, self._stage_first = time.monotonic(), progress.done
            self._progress = progress
            self._newest = [*progress.pictures, *(p for p in self._newest if p not in progress.pictures)][:KEPT_PICTURES]
        if self._listener is not None:
            self._listener(progress)

    def listen(self, listener: Callable[[Progress], None]) -> None:
        """Hand each report to the listener too."""
        self._listener = listener

    def log(self, event: str, **values: Any) -> None:
        """Append to the workspace's log, if a stage opened one."""
        if self.events is not None:
            self.events.write(event, **values)

    def newest(self, count: int) -> list[Path]:
        """The pictures that were reported last, newest first."""
        with self._lock:
            return self._newest[:count]

    def cancel(self) -> None:
        """Ask the work to stop at its next safe point."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancel.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises: JobCancelled, when somebody asked to stop."""
        if self._cancel.is_set():
            raise JobCancelled(f"{self.title}: cancelled")

    def view(self) -> JobView:
        """An immutable picture of now, with the time left estimated from this stage's own pace."""
        with self._lock:
            progress, now = self._progress, self._ended or time.monotonic()
            made = progress.done - self._stage_first
            eta = None
            if made > 0 and progress.total and self.state == "running":
                eta = (now - self._stage_started) / made * (progress.total - progress.done)
            return JobView(self.title, self.state, progress, now - self._started, eta, self.error)

    def run(self, work: Callable[[Job], Result]) -> Result:
        """Do the work in this thread and record how it ended; what it raised is raised again."""
        self._started = self._stage_started = time.monotonic()
        self.state = "running"
        try:
            result = self.result = work(self)
        except (JobCancelled, KeyboardInterrupt) as stop:
            self.end("cancelled", str(stop))
            raise
        except BaseException as error:
            # The one broad catch: it keeps the traceback for the log and hands the error on.
            self.trace = traceback.format_exc()
            self.end("failed", str(error) or type(error).__name__)
            raise
        self.end("done", None)
        return result

    def end(self, state: State, error: str | None) -> None:
        """Record how it ended."""
        with self._lock:
            self.state, self.error, self._ended = state, error, time.monotonic()


class Ticket(Generic[Result]):
    """A job that the runner took.  number: its place in the order of submission, from 1."""

    def __init__(self, number: int, job: Job, work: Callable[[Job], Result]) -> None:
        self.number, self.job, self.work = number, job, work
        self._ended = threading.Event()

    def wait(self, timeout: float | None = None) -> JobView:
        """Block until it ended (or the timeout, in seconds) and give its view."""
        self._ended.wait(timeout)
        return self.job.view()

    def run(self) -> None:
        """Do the work; what it raises is kept in the job and the log."""
        job = self.job
        try:
            if job.cancelled:
                raise JobCancelled(f"{job.title}: cancelled before it started")
            job.run(self.work)
        except JobCancelled as stop:
            job.end("cancelled", str(stop))
            job.log("cancelled", title=job.title)
        except SingleLoraError as error:
            job.log("failed", title=job.title, error=str(error))
        except Exception as error:  # a thread has nobody to raise to
            log.exception("%s failed", job.title)
            job.log("failed", title=job.title, error=str(error), traceback=job.trace)
        finally:
            self._ended.set()


class JobRunner:
    """Runs jobs one after another, in the order in which they came, in a thread that lives while there is work."""

    def __init__(self, kept: int = 30) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Ticket[Any]] = deque()
        self._all: deque[Ticket[Any]] = deque(maxlen=kept)
        self._running: Ticket[Any] | None = None
        self._count = 0

    def submit(self, title: str, work: Callable[[Job], Result], events: EventLog | None = None,
               listener: Callable[[Job, Progress], None] | None = None) -> Ticket[Result]:
        """Put the work in the queue; listener gets the job and each of its reports."""
        job = Job(title)
        if listener is not None:
            job.listen(lambda progress: listener(job, progress))
        job.events = events
        with self._lock:
            self._count += 1
            ticket = Ticket(self._count, job, work)
            self._waiting.append(ticket)
            self._all.append(ticket)
            if self._running is None:
                self._running = self._waiting.popleft()
                threading.Thread(target=self._work, name="singlelora-jobs", daemon=True).start()
        return ticket

    def _work(self) -> None:
        while (ticket := self._running) is not None:
            ticket.run()
            with self._lock:
                self._running = self._waiting.popleft() if self._waiting else None

    @property
    def tickets(self) -> list[Ticket[Any]]:
        """The last jobs, oldest first."""
        with self._lock:
            return list(self._all)

    @property
    def running(self) -> Ticket[Any] | None:
        """The job that runs now, or None."""
        return self._running

    def cancel(self, number: int) -> bool:
        """Ask a job to stop, waiting or running; False when there is no such job any more."""
        for ticket in self.tickets:
            if ticket.number == number and ticket.job.state in ("waiting", "running"):
                ticket.job.cancel()
                with self._lock:
                    waited = ticket in self._waiting
                    if waited:
                        self._waiting.remove(ticket)
                if waited:
                    ticket.run()
                return True
        return False


@contextmanager
def cancel_on_interrupt(job: Job) -> Iterator[None]:
    """Turn the first Ctrl-C into a cancellation, so that the stage stops at a safe point; a second one breaks off.

    Works in the main thread only (Python's rule for signal handlers); elsewhere it does nothing.
    """
    import signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name)]
    previous = {number: signal.getsignal(number) for number in names}

    def stop(number: int, frame: object) -> None:
        if job.cancelled and number == signal.SIGINT:
            raise KeyboardInterrupt
        job.cancel()

    for number in names:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
