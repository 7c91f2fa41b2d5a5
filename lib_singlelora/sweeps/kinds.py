"""The kinds of units that a worker on any machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import SingleLoraError
from ..host import Host
from ..jobs import Job, Progress
from .batch import BATCH, PictureHandler, batch_result
from .report import sweep_result
from .search import sampler_of
from .storage import Storage
from .sweep import SWEEP, show_progress
from .trial import SweepPlan, TrialHandler
from .unit_queue import Sampler, UnitQueue, names
from .worker import PAUSE, Handler, work

# A host for the checkpoint that a plan names
HostOf = Callable[[Path], Host]


def handler_of(queue: UnitQueue, host_of: HostOf) -> tuple[Handler, Sampler | None] | None:
    """(what does a unit, what chooses its parameters); None for a kind of another program.

    Raises: CheckpointError, StorageError.
    """
    kind = queue.plan.get("kind")
    if kind == SWEEP:
        plan = SweepPlan.of(queue)
        host = host_of(Path(queue.plan["checkpoint"]["path"]))
        return TrialHandler(queue, host), partial(sampler_of, plan.sampler, plan.seed)
    if kind == BATCH:
        return PictureHandler(queue, host_of(Path(queue.plan["checkpoint"]["path"]))), None
    return None


def serve(storage: Storage, host_of: HostOf, job: Job, wait: bool = False) -> dict[str, Any]:
    """Do what waits in a storage; how many units of each study this worker ended.

    wait: stay for what is queued later.
    Raises: JobCancelled; what a study that cannot be served raises, once the others are done.
    """
    ended: dict[str, int] = {}
    while True:
        refused: SingleLoraError | None = None
        for name in names(storage):
            queue = UnitQueue(storage, name)
            if queue.is_done:
                continue
            try:
                found = handler_of(queue, host_of)
            except SingleLoraError as error:
                refused = error
                job.report(Progress("worker", message=str(error)))
                continue
            if found is not None:
                is_batch = queue.plan["kind"] == BATCH
                after = batch_result if is_batch else show_progress
                done = work(queue, found[0], job, found[1], after=after)
                ended[name] = ended.get(name, 0) + done
                (batch_result if is_batch else sweep_result)(queue)
        if refused is not None and not wait:
            raise refused
        if not wait:
            return {"storage": storage.url, "ended": ended, "seconds": {}}
        job.report(Progress("worker", message="waiting for what is queued next"))
        job.raise_if_cancelled()
        time.sleep(PAUSE)
