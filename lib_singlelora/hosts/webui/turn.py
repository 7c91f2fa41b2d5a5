"""Whose turn it is: the WebUI's queue lock, taken by a job like by any other generation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from modules import shared
from modules.call_queue import queue_lock

from ...jobs import Job, Progress
from .options import locked

WAIT = 0.2  # seconds between looks at whether a waiting job was cancelled


class Turn:
    """Holds the WebUI's queue lock and its `state` for one job; the same thread may enter again."""

    def __init__(self) -> None:
        self._owner: int | None = None
        self.job: Job | None = None

    @contextmanager
    def take(self, job: Job) -> Iterator[None]:
        """Wait in the WebUI's queue, then hold it.  Raises: JobCancelled, while waiting."""
        if self._owner == threading.get_ident():
            yield
            return
        _acquire(job)
        self._owner, self.job = threading.get_ident(), job
        try:
            shared.state.begin(job=f"Single LoRA: {job.title}")
            try:
                with locked(job):
                    yield
            finally:
                shared.state.end()
        finally:
            self._owner = self.job = None
            queue_lock.release()

    def mirror(self, progress: Progress) -> None:
        """Show progress in the WebUI's own state; its Interrupt cancels the job, a cancelled job interrupts a picture."""
        job = self.job
        if job is None or self._owner != threading.get_ident():
            return
        state = shared.state
        if state.interrupted or state.stopping_generation:
            job.cancel()
        state.job = f"Single LoRA: {job.title}"
        if progress.total:
            state.job_count, state.job_no = progress.total, progress.done
            state.textinfo = f"{progress.stage}: {progress.message}"


def _acquire(job: Job) -> None:
    """Wait like everyone else, in a helper thread, so that a cancellation can end the wait."""
    if queue_lock.acquire(blocking=False):
        return
    job.report(Progress("queue", message="waiting for the WebUI to finish what it is drawing"))
    granted, left, guard = threading.Event(), threading.Event(), threading.Lock()

    def wait() -> None:
        queue_lock.acquire()
        with guard:
            if left.is_set():
                queue_lock.release()
            else:
                granted.set()

    threading.Thread(target=wait, name="singlelora-queue", daemon=True).start()
    while not granted.wait(WAIT):
        if job.cancelled:
            with guard:
                if granted.is_set():
                    queue_lock.release()
                left.set()
            job.raise_if_cancelled()
