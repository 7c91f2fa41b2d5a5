"""Whose turn it is: the WebUI's queue lock, taken by a job like by any other generation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from modules import shared
from modules.call_queue import queue_lock

from ...errors import HostBusyError
from ...jobs import Job, Progress

logger = logging.getLogger(__name__)

WAIT = 0.2  # seconds between looks at whether a waiting job was cancelled
LOCKED = ("sd_model_checkpoint", "sd_vae", "sd_unet", "fp8_storage", "cross_attention_optimization")


class QueueLock:
    """Holds the WebUI's queue lock and its `state` for one job; the same thread may enter again.

    show_warning: puts a sentence before the user whose click is being answered.
    """

    def __init__(self, show_warning: Callable[[str], None] = logger.warning) -> None:
        self.show_warning = show_warning
        self._owner: int | None = None
        self.job: Job | None = None

    @contextmanager
    def acquire(self, job: Job) -> Iterator[None]:
        """Wait in the WebUI's queue, then hold it.  Raises: JobCancelled, while waiting."""
        if self._owner == threading.get_ident():
            yield
            return
        _acquire(job)
        self._owner, self.job = threading.get_ident(), job
        try:
            shared.state.begin(job=f"Single LoRA: {job.title}")
            try:
                with locked(job, self.show_warning):
                    yield
            finally:
                shared.state.end()
        finally:
            self._owner = self.job = None
            queue_lock.release()

    def mirror(self, progress: Progress) -> None:
        """Show progress in the WebUI's own state; its Interrupt cancels the job, a cancelled job
        interrupts a picture.
        """
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


@contextmanager
def locked(job: Job, show_warning: Callable[[str], None]) -> Iterator[None]:
    """Refuse to change what a running job stands on: the checkpoint and how it computes.

    The WebUI sets an option back to its old value when the callback of its change raises; it tells
    its console why, so the user is told here.
    """

    def refuse() -> None:
        why = (
            f"Single LoRA: '{job.title}' is running on this checkpoint; cancel the job or wait"
            " until it ends"
        )
        show_warning(why)
        raise HostBusyError(why)

    before: dict[str, Callable[[], Any]] = {}
    for name in LOCKED:
        info = shared.opts.data_labels.get(name)
        if info is not None:
            before[name] = info.onchange
            info.onchange = refuse
    try:
        yield
    finally:
        for name, callback in before.items():
            shared.opts.data_labels[name].onchange = callback
