"""A worker: claims units, does them, records how they ended, until none is left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..errors import ConflictError, JobCancelled, SingleLoraError
from ..jobs import Job, Progress
from .unit_queue import Sampler, Unit, UnitQueue

PAUSE = 1.0  # seconds between looks at what others do

# Does a unit; its objectives.  Raises: Pruned.
Handler = Callable[[Unit, Job], Sequence[float]]


class Pruned(Exception):
    """A unit is not worth ending."""


def work(
    queue: UnitQueue,
    handler: Handler,
    job: Job,
    sampler: Sampler | None = None,
    stay: bool = True,
    until: float = math.inf,
    after: Callable[[UnitQueue], object] = lambda queue: None,
) -> int:
    """Do units until none is left; how many this worker ended.

    stay: wait while others are at work, to take over from those that die.
    until: time.monotonic() after which no further unit is begun.
    after: called after each unit, such as to show how far it is.
    Raises: JobCancelled, giving the unit back.
    """
    ended = 0
    busy: set[str] = set()  # that somebody else still writes
    while time.monotonic() < until:
        job.raise_if_cancelled()
        unit = queue.claim(sampler, busy)
        if unit is not None:
            ended += _do(queue, unit, handler, job, busy)
            after(queue)
        elif not stay or queue.is_done:
            break
        else:
            waiting = "waiting for the workers of the last units"
            job.report(Progress(queue.name, *_counts(queue), waiting))
            busy.clear()
            time.sleep(PAUSE)
    return ended


def _do(queue: UnitQueue, unit: Unit, handler: Handler, job: Job, busy: set[str]) -> bool:
    """One unit; True where it ended, by this worker.  busy: gets its key where another has it."""
    started = time.monotonic()
    done, total = _counts(queue)
    job.report(Progress(queue.name, done, total, f"{unit.key}: begins"))
    try:
        with queue.beating(unit):
            values = handler(unit, job)
            unit.note("seconds", round(time.monotonic() - started, 2))
        return queue.complete(unit, values)
    except Pruned:
        unit.note("seconds", round(time.monotonic() - started, 2))
        return queue.prune(unit)
    except ConflictError as held:  # whoever was thought dead still writes there
        queue.release(unit)
        busy.add(unit.key)
        job.report(Progress(queue.name, done, total, f"{unit.key}: {held}"))
        return False
    except JobCancelled:
        queue.release(unit)
        raise
    except SingleLoraError as error:
        job.report(Progress(queue.name, done, total, f"{unit.key}: {error}"))
        return queue.fail(unit, str(error))
    except BaseException:  # Ctrl-C, a full disk: another worker may do it
        queue.release(unit)
        raise


def _counts(queue: UnitQueue) -> tuple[int, int]:
    states = queue.states().values()
    return sum(state.ended for state in states), len(states)
