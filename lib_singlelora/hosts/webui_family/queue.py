"""The WebUI's queue lock, taken by a job like by any other generation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modules import shared
from modules.call_queue import queue_lock

from ...errors import HostBusyError
from ...jobs import Job, Progress

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.2  # seconds between looks at whether a waiting job was cancelled
LOCKED_OPTIONS = (
    "sd_model_checkpoint",
    "sd_vae",
    "sd_unet",
    "fp8_storage",
    "cross_attention_optimization",
    # Forge's and reForge's
    "forge_additional_modules",
    "forge_unet_storage_dtype",
    "sd_text_encoder",
)


class QueueLock:
    """Holds the WebUI's queue lock and its `state` for one job; the same thread may enter again.

    show_warning: shows a sentence to the user whose click is being answered.
    """

    def __init__(self, show_warning: Callable[[str], None] = logger.warning) -> None:
        self.show_warning = show_warning
        self.job: Job | None = None
        self._owner: int | None = None

    @contextmanager
    def acquire(self, job: Job) -> Iterator[None]:
        """Wait in the WebUI's queue, then hold it.

        Raises:
            JobCancelled: while waiting.
        """
        if self._owner == threading.get_ident():
            yield
            return
        _wait_for_queue(job)
        self._owner = threading.get_ident()
        self.job = job
        try:
            shared.state.begin(job=f"Single LoRA: {job.title}")
            try:
                with locked(job, self.show_warning):
                    yield
            finally:
                shared.state.end()
        finally:
            self._owner = None
            self.job = None
            queue_lock.release()

    def mirror(self, progress: Progress) -> None:
        """Show progress in the WebUI's own state; cancel the job when its Interrupt was pressed."""
        job = self.job
        if job is None or self._owner != threading.get_ident():
            return
        state = shared.state
        if state.interrupted or state.stopping_generation:
            job.cancel()
        state.job = f"Single LoRA: {job.title}"
        if progress.total:
            state.job_count = progress.total
            state.job_no = progress.done
            state.textinfo = f"{progress.stage}: {progress.message}"


def _wait_for_queue(job: Job) -> None:
    """Wait like everyone else, in a helper thread, so that a cancellation can end the wait.

    The WebUI's lock knows no timeout, and a thread that waits for it cannot be called off: the
    helper of a cancelled job gives the lock back as soon as it gets it.
    """
    if queue_lock.acquire(blocking=False):
        return
    job.report(Progress("queue", message="waiting for the WebUI to finish what it is drawing"))
    granted = threading.Event()
    abandoned = threading.Event()
    guard = threading.Lock()

    def wait() -> None:
        queue_lock.acquire()
        with guard:
            if abandoned.is_set():
                queue_lock.release()
            else:
                granted.set()

    threading.Thread(target=wait, name="singlelora-queue", daemon=True).start()
    while not granted.wait(POLL_INTERVAL):
        if job.cancelled:
            with guard:
                if granted.is_set():
                    queue_lock.release()
                abandoned.set()
            job.raise_if_cancelled()


@contextmanager
def locked(job: Job, show_warning: Callable[[str], None]) -> Iterator[None]:
    """Refuse to change what a running job depends on: the checkpoint and how it computes.

    The WebUI sets an option back to its old value when the callback of its change raises. The
    reason goes to its console only, so the user is shown it here.
    """

    def refuse() -> None:
        reason = (
            f"Single LoRA: '{job.title}' is running on this checkpoint; cancel the job or wait"
            " until it ends"
        )
        show_warning(reason)
        raise HostBusyError(reason)

    callbacks: dict[str, Callable[[], object] | None] = {}
    for name in LOCKED_OPTIONS:
        option = shared.opts.data_labels.get(name)
        if option is not None:
            callbacks[name] = option.onchange
            option.onchange = refuse
    try:
        yield
    finally:
        for name, callback in callbacks.items():
            shared.opts.data_labels[name].onchange = callback
