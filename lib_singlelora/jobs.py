"""Jobs: progress, cancellation and the one runner.

A stage gets a `Job`, reports through `job.report(Progress(...))` and stops at
`job.raise_if_cancelled()`. Whoever watches reads the immutable `job.view()`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from .errors import JobCancelled, SingleLoraError, TooManyError
from .files.event_log import EventLog

__all__ = [
    "EventLog",
    "Job",
    "JobRunner",
    "JobView",
    "Progress",
    "Ticket",
    "cancel_on_interrupt",
    "in_series",
]

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled", "paused"]
ENDED = ("done", "failed", "cancelled", "paused")  # a paused one may be resumed, as a new job
Result = TypeVar("Result")
KEPT_PICTURES = 48
KEPT_JOBS = 30  # that ended
MOST_WAITING = 50  # jobs; more come from a program that runs wild, not from a user


@dataclass(frozen=True)
class Progress:
    """One report of a stage.

    stage: the stage's name.
    done, total: steps of its own unit.
    message: one line for the user.
    values: figures such as loss, lr.
    pictures: newest files to show.
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


def in_series(before: int, count: int) -> str:
    """Such as "picture 3" or "pictures 3 to 4", for those that follow `before` others."""
    return f"picture {before + 1}" if count == 1 else f"pictures {before + 1} to {before + count}"


@dataclass(frozen=True)
class JobView:
    """A job as a page shows it; a copy that never changes.

    title: what the job does.
    state: where it is in its life.
    progress: the last report.
    seconds: since it started.
    eta: seconds left; None while unknown.
    error: why it failed or stopped, else None.
    """

    title: str
    state: State
    progress: Progress
    seconds: float
    eta: float | None
    error: str | None


class Job:
    """One piece of work that can be watched and cancelled; safe to use from several threads."""

    def __init__(
        self, title: str = "job", listener: Callable[[Progress], None] | None = None
    ) -> None:
        self.title = title
        self.state: State = "waiting"
        self.error: str | None = None
        self.trace: str | None = None
        self.result: Any = None
        self._listener = listener
        self._on_report: Callable[[Job, Progress], None] | None = None
        self._cancel = threading.Event()
        self.pausing = False
        self.resumed = False
        self._lock = threading.Lock()
        self._progress = Progress(stage="")
        self._newest: list[Path] = []
        self._stage_started = self._started = time.monotonic()
        self._stage_first = 0
        self._ended: float | None = None
        self.events: EventLog | None = None

    def report(self, progress: Progress) -> None:
        """Publish where the work is."""
        progress = replace(progress, message=plain(progress.message))
        with self._lock:
            if progress.stage != self._progress.stage or progress.done < self._progress.done:
                self._stage_started = time.monotonic()
                self._stage_first = progress.done
            self._progress = progress
            self._newest = [
                *progress.pictures,
                *(p for p in self._newest if p not in progress.pictures),
            ][:KEPT_PICTURES]
        if self._listener is not None:
            self._listener(progress)

    def listen(self, listener: Callable[[Progress], None]) -> None:
        """Hand each report to the listener too."""
        self._listener = listener

    def listen_as_job(self, listener: Callable[[Job, Progress], None]) -> None:
        """The same for a listener that is told of which job each report is."""
        self._on_report = listener
        self.listen(lambda progress: listener(self, progress))

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
        self.pausing = False
        self._cancel.set()

    def pause(self) -> None:
        """The same, but it counts as paused: whoever resumes it goes on where it stopped."""
        self.pausing = True
        self._cancel.set()

    def again(self) -> Job:
        """A new job of the same title, events and listener, for work that goes on."""
        job = Job(self.title)
        job.events = self.events
        job.resumed = True
        if self._on_report is not None:
            job.listen_as_job(self._on_report)
        return job

    @property
    def stopped_state(self) -> State:
        """The state in which a job ends that was asked to stop."""
        return "paused" if self.pausing else "cancelled"

    @property
    def cancelled(self) -> bool:
        """True once the job was asked to stop."""
        return self._cancel.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises: JobCancelled, once the job was asked to stop."""
        if self._cancel.is_set():
            raise JobCancelled(f"{self.title}: cancelled")

    def view(self) -> JobView:
        """An immutable snapshot; the time left is estimated from the pace of this stage."""
        with self._lock:
            progress = self._progress
            now = self._ended or time.monotonic()
            steps = progress.done - self._stage_first
            eta = None
            if steps > 0 and progress.total and self.state == "running":
                eta = (now - self._stage_started) / steps * (progress.total - progress.done)
            return JobView(self.title, self.state, progress, now - self._started, eta, self.error)

    def run(self, work: Callable[[Job], Result]) -> Result:
        """Do the work in this thread and record how it ended; what it raised is raised again."""
        with self._lock:
            self._started = self._stage_started = time.monotonic()
            self.state = "running"
        try:
            # It may have been cancelled earlier: work without a safe point would not notice.
            self.raise_if_cancelled()
            result = self.result = work(self)
        except (JobCancelled, KeyboardInterrupt) as stop:
            self.end(self.stopped_state, words_of(stop))
            raise
        except BaseException as error:
            # The one broad catch: it keeps the traceback for the log and hands the error on.
            # An error may fail to format itself, or there is no memory left for it.
            with contextlib.suppress(Exception):
                self.trace = traceback.format_exc()
            self.end("failed", words_of(error))
            raise
        self.end("done", None)
        return result

    def end(self, state: State, error: str | None) -> None:
        """Record how it ended."""
        with self._lock:
            self.state = state
            self.error = error
            self._ended = time.monotonic()


def words_of(error: BaseException) -> str:
    """The message of an error, in characters that page and log can encode; never raises."""
    try:
        text = str(error)
        if not isinstance(error, Exception) or not text:  # SystemExit(1) says only "1"
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return plain(text)
    except Exception:  # noqa: BLE001 - an error whose own words raise
        return type(error).__name__


def plain(text: str) -> str:
    """The text with lone surrogates, from file names in another encoding, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain_values(value: Result) -> Result:
    """Values for JSON in which every text is `plain`, as names of files may not be."""
    result: Any = value
    if isinstance(value, str):
        result = plain(value)
    elif isinstance(value, dict):
        result = {plain_values(key): plain_values(item) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        result = [plain_values(item) for item in value]
    return cast(Result, result)


class Ticket(Generic[Result]):
    """A job in the runner's queue.

    number: its place in the order of submission, from 1.
    """

    def __init__(self, number: int, job: Job, work: Callable[[Job], Result]) -> None:
        self.number = number
        self.job = job
        self._work: Callable[[Job], Result] | None = work
        self._ended = threading.Event()

    def taken(self) -> Callable[[Job], Result] | None:
        """The work of a job that is paused, once; None for one that is not."""
        work = self._work if self.ended and self.job.state == "paused" else None
        if work is not None:
            self._work = None
        return work

    def give_back(self, work: Callable[[Job], Result]) -> None:
        """Take back the work that could not be resumed."""
        self._work = work

    @property
    def ended(self) -> bool:
        """True once nothing happens to it any more."""
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> JobView:
        """Block until it has ended, or for the timeout in seconds; its view."""
        self._ended.wait(timeout)
        return self.job.view()

    def run(self) -> None:
        """Do the work; what it raises is kept in the job and the log.

        Never raises: the queue goes on after it.
        """
        job = self.job
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - more jobs wait behind it
            with contextlib.suppress(BaseException):
                log.error("%s: %s", job.title, words_of(error))
        finally:
            if job.state not in ENDED:
                job.end("failed", "ended without a reason; see the program's own log")
            if job.state != "paused":
                self._work = None  # and with it what the work holds on to
            self._ended.set()

    def _run(self) -> None:
        job = self.job
        work = self._work
        assert work is not None, "a ticket runs once"
        try:
            if job.cancelled:
                raise JobCancelled(f"{job.title}: cancelled before it started")
            job.run(work)
        except (JobCancelled, KeyboardInterrupt) as stop:
            job.end(job.stopped_state, words_of(stop))
            job.log(job.stopped_state, title=job.title)
        except SingleLoraError as error:
            job.log("failed", title=job.title, error=words_of(error))
        except BaseException as error:  # noqa: BLE001 - nobody to raise to
            with contextlib.suppress(Exception):  # a host's own handler of logs may fail too
                log.error("%s failed\n%s", job.title, job.trace)
            job.log("failed", title=job.title, error=words_of(error), traceback=job.trace)


class JobRunner:
    """Runs jobs one after another in a thread that lives while there is work.

    kept: how many ended jobs stay in the list; those that wait or run always do.
    most_waiting: more jobs are refused.
    """

    def __init__(self, kept: int = KEPT_JOBS, most_waiting: int = MOST_WAITING) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Ticket[Any]] = deque()
        self._all: list[Ticket[Any]] = []
        self._kept = kept
        self._most_waiting = most_waiting
        self._running: Ticket[Any] | None = None
        self._count = 0

    def submit(
        self,
        title: str,
        work: Callable[[Job], Result],
        events: EventLog | None = None,
        listener: Callable[[Job, Progress], None] | None = None,
    ) -> Ticket[Result]:
        """Put the work in the queue.

        listener: called with the job and each of its reports.
        Raises: TooManyError, when `most_waiting` jobs wait.
        """
        job = Job(title)
        if listener is not None:
            job.listen_as_job(listener)
        job.events = events
        with self._lock:
            if len(self._waiting) >= self._most_waiting:
                raise TooManyError(
                    f"{title}: found {len(self._waiting)} jobs waiting, expected fewer; wait until"
                    " some are done, or cancel some"
                )
            ticket = Ticket(self._count + 1, job, work)
            if self._running is None:
                self._start(ticket)
            else:
                self._waiting.append(ticket)
            self._count += 1
            self._all.append(ticket)
            self._forget()
        return ticket

    def resume(self, number: int) -> Ticket[Any] | None:
        """Queue a paused job again, before those that wait; None for no such paused job.

        It is a job of its own, with a new number; the paused one leaves the list.
        Raises: TooManyError, when the system grants no thread.
        """
        with self._lock:
            paused = next((ticket for ticket in self._all if ticket.number == number), None)
            work = paused.taken() if paused is not None else None
            if paused is None or work is None:
                return None
            job = paused.job.again()
            ticket = Ticket(self._count + 1, job, work)
            if self._running is None:
                try:
                    self._start(ticket)
                except TooManyError:
                    paused.give_back(work)
                    raise
            else:
                self._waiting.appendleft(ticket)
            self._count += 1
            self._all.remove(paused)
            self._all.append(ticket)
        return ticket

    def _start(self, ticket: Ticket[Any]) -> None:
        self._running = ticket
        try:
            threading.Thread(
                target=self._work, args=(ticket,), name="singlelora-jobs", daemon=True
            ).start()
        except RuntimeError as error:
            # The system grants no further thread; the next submit tries again.
            self._running = None
            raise TooManyError(
                f"{ticket.job.title}: found no thread to run it in ({error}), expected one; close"
                " other programs and try again"
            ) from None

    def _forget(self) -> None:
        """Drop the oldest ended jobs beyond `kept`; those that wait or run stay."""
        surplus = sum(ticket.ended for ticket in self._all) - self._kept
        for ticket in [ticket for ticket in self._all if ticket.ended][: max(0, surplus)]:
            self._all.remove(ticket)

    def _work(self, first: Ticket[Any]) -> None:
        ticket: Ticket[Any] | None = first
        while ticket is not None:
            ticket.run()
            with self._lock:
                # Known here and not asked for again: once the lock is free, what runs may be
                # another thread's.
                ticket = self._running = self._waiting.popleft() if self._waiting else None
                self._forget()

    @property
    def tickets(self) -> list[Ticket[Any]]:
        """The last jobs, oldest first."""
        with self._lock:
            return list(self._all)

    @property
    def running(self) -> Ticket[Any] | None:
        """The job that runs now, or None."""
        return self._running

    def cancel(self, number: int, pause: bool = False) -> bool:
        """Ask a job to stop, waiting or running; False for no such job any more.

        One that waits ends at once; one that is about to start stops before its work begins.
        pause: it counts as paused, and `resume` goes on with it.
        """
        with self._lock:
            ticket = next((ticket for ticket in self._all if ticket.number == number), None)
            if ticket is None or ticket.ended or ticket.job.state in ENDED:
                return False
            if pause:
                ticket.job.pause()
            else:
                ticket.job.cancel()
            waited = ticket in self._waiting
            if waited:
                self._waiting.remove(ticket)
        if waited:
            ticket.run()
        return True


@contextmanager
def cancel_on_interrupt(job: Job) -> Iterator[None]:
    """Turn the first Ctrl-C into a cancellation at a safe point; a second one stops at once.

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
