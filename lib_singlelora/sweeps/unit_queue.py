"""Units of work in a storage: claimed once, done once, taken over from workers that die.

A unit is one of Optuna's trials with a key of its own.  Where a worker dies, the trial fails and
another with the same key takes its place; what the key names on disk goes on from its snapshot.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import NotFoundError, StorageError
from ..files.fileio import is_running, this_machine
from .optuna_package import load_optuna
from .storage import MISSED, Storage

PLAN = "singlelora"  # attribute of a study: what its units are
FORMAT = 1
KEY = "key"  # attributes of a trial
WORKER = "worker"
INTERVAL = "heartbeat"  # of a worker: seconds
ERROR = "error"

Again = Literal["died", "failed", "ended"]
Sampler = Callable[[int], Any]  # the number of a trial -> Optuna's sampler for it


@dataclass(frozen=True)
class UnitState:
    """How far a unit is.

    key: its name.
    state: waiting, running, complete, pruned or failed.
    params: what was chosen for it, by the setting's name.
    values: its objectives; () while unknown.
    epochs: the judge's scalar, by epoch.
    notes: what its worker wrote.
    """

    key: str
    state: str
    params: Mapping[str, Any] = field(default_factory=dict)
    values: Sequence[float] = ()
    epochs: Mapping[int, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """True where nothing is left to do."""
        return self.state not in ("waiting", "running")


@dataclass(frozen=True)
class Unit:
    """A claimed unit.

    trial: Optuna's, which also suggests parameters.
    """

    key: str
    queue: UnitQueue
    trial: Any
    trial_id: int

    def report(self, epoch: int, value: float) -> None:
        """Write the scalar of an epoch, which pruning compares."""
        self.queue.backend.set_trial_intermediate_value(self.trial_id, epoch, value)

    def note(self, name: str, value: Any) -> None:
        """Write a JSON value that `UnitState.notes` gives back."""
        self.trial.set_user_attr(name, value)

    @property
    def notes(self) -> dict[str, Any]:
        """What was written about it, by whoever queued it too."""
        return dict(self.trial.user_attrs)

    @property
    def epochs(self) -> dict[int, float]:
        """What was reported, by this worker or one before it."""
        return dict(self.queue.backend.get_trial(self.trial_id).intermediate_values)


class UnitQueue:
    """The units of one study.

    plan: what they have in common, as `begin` wrote it.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage = storage
        self.name = name
        self.backend = storage.optuna
        self._optuna = load_optuna()
        try:
            self.study = self._optuna.load_study(study_name=name, storage=storage.optuna)
        except KeyError:
            raise NotFoundError(
                f"{storage.url}: found nothing called {name!r} in it, expected one of"
                f" {', '.join(names(storage)) or 'none yet'}"
            ) from None
        self.study_id = self.backend.get_study_id_from_name(name)
        self.plan: dict[str, Any] = dict(self.study.user_attrs.get(PLAN, {}))
        found = self.plan.get("format")
        if found != FORMAT:
            raise StorageError(
                f"{storage.url}: {name!r}: found a plan of format {found}, expected {FORMAT}; use"
                " the program's version that wrote it, or another --storage"
            )

    @classmethod
    def begin(
        cls,
        storage: Storage,
        name: str,
        plan: Mapping[str, Any],
        directions: Sequence[str] = ("maximize",),
        metrics: Sequence[str] = (),
    ) -> UnitQueue:
        """The queue of this name, made if there is none; an existing one keeps its plan."""
        optuna = load_optuna()
        study = optuna.create_study(
            storage=storage.optuna, study_name=name, directions=directions, load_if_exists=True
        )
        if PLAN not in study.user_attrs:
            if metrics:
                study.set_metric_names(list(metrics))
            study.set_user_attr(PLAN, {**plan, "format": FORMAT})
        return cls(storage, name)

    # What there is
    # ----------------------------------------------------------------------------

    def states(self) -> dict[str, UnitState]:
        """Each unit by its key; of one that was tried again, the last try."""
        found: dict[str, UnitState] = {}
        for trial in self._trials():
            key = str(trial.user_attrs.get(KEY, trial.number))
            before = found.get(key)
            state = trial.state.name.lower().replace("fail", "failed")
            if before is None or before.state == "failed" or state != "failed":
                found[key] = UnitState(
                    key,
                    state,
                    dict(trial.params),
                    tuple(trial.values or ()),
                    dict(trial.intermediate_values),
                    dict(trial.user_attrs),
                )
        return found

    def _trials(self, *states: str) -> list[Any]:
        kinds = tuple(self._optuna.trial.TrialState[state] for state in states) or None
        return list(self.backend.get_all_trials(self.study_id, deepcopy=False, states=kinds))

    @property
    def is_done(self) -> bool:
        """True once every unit has ended."""
        return not self._trials("WAITING", "RUNNING")

    # What is to be done
    # ----------------------------------------------------------------------------

    def add(
        self,
        units: Mapping[str, Mapping[str, Any]],
        again: Again = "died",
        notes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> int:
        """Queue units that are not there; how many.  Call it from one process at a time.

        units: parameters that are already chosen, by the unit's key.
        again: also those whose workers died too often, those that failed by an error too, or those
            that ended in whatever way.
        notes: what `Unit.notes` gives to whoever claims it, by the unit's key.
        """
        known = self.states()
        added = 0
        for key, params in units.items():
            if key not in known or _may_be_tried(known[key], again):
                attributes = {**(notes or {}).get(key, {}), KEY: key}
                self.study.enqueue_trial(dict(params), user_attrs=attributes)
                added += 1
        return added

    def claim(self, sampler: Sampler | None = None, skipped: Collection[str] = ()) -> Unit | None:
        """A unit that is this worker's alone; None where none waits.

        skipped: keys of units that are left to others.
        """
        self.bury_the_dead()
        running = self._optuna.trial.TrialState.RUNNING
        finished = self._optuna.exceptions.UpdateFinishedTrialError
        for waiting in self._trials("WAITING"):
            number = waiting._trial_id
            if waiting.user_attrs.get(KEY) in skipped:
                continue
            try:
                # Before it runs: a worker that dies in between is noticed too
                self.backend.record_heartbeat(number)
                if not self.backend.set_trial_state_values(number, state=running):
                    continue
            except finished:
                continue
            if sampler:
                self.study.sampler = sampler(waiting.number)
            trial = self._optuna.trial.Trial(self.study, number)
            unit = Unit(str(waiting.user_attrs.get(KEY, waiting.number)), self, trial, number)
            unit.note(WORKER, {**_this_worker(), INTERVAL: self.backend.get_heartbeat_interval()})
            return unit
        return None

    def bury_the_dead(self) -> None:
        """Fail the trials of dead workers; their units wait again."""
        self._await_the_slowest()
        self._optuna.storages.fail_stale_trials(self.study)
        on_dead = self.backend.get_heartbeat_stale_trial_callback()
        failed = self._optuna.trial.TrialState.FAIL
        for trial in self._trials("RUNNING"):
            # On this machine no heartbeat need be missed first
            if _is_dead(trial.user_attrs.get(WORKER, {})):
                try:
                    if self.backend.set_trial_state_values(trial._trial_id, state=failed):
                        on_dead(self.study, self.backend.get_trial(trial._trial_id))
                except self._optuna.exceptions.UpdateFinishedTrialError:
                    continue  # another worker was faster

    def _await_the_slowest(self) -> None:
        """Bear with workers whose heartbeat is slower than this one's: they are no dead."""
        intervals = [self.backend.get_heartbeat_interval()]
        for trial in self._trials("RUNNING"):
            intervals.append(trial.user_attrs.get(WORKER, {}).get(INTERVAL, 0))
        self.backend.grace_period = MISSED * max(intervals)

    # How a unit ends
    # ----------------------------------------------------------------------------

    def complete(self, unit: Unit, values: Sequence[float]) -> bool:
        """Record the objectives; False where the unit was taken from this worker."""
        return self._end(unit, "COMPLETE", values)

    def prune(self, unit: Unit) -> bool:
        """Record that the unit was not worth ending."""
        return self._end(unit, "PRUNED")

    def fail(self, unit: Unit, error: str) -> bool:
        """Record an error, which would come again."""
        try:
            unit.note(ERROR, error)
        except self._optuna.exceptions.UpdateFinishedTrialError:
            return False
        return self._end(unit, "FAIL")

    def release(self, unit: Unit) -> bool:
        """Give the unit back, to wait for another worker."""
        return self._end(unit, "WAITING")

    def _end(self, unit: Unit, state: str, values: Sequence[float] | None = None) -> bool:
        kind = self._optuna.trial.TrialState[state]
        try:
            return bool(self.backend.set_trial_state_values(unit.trial_id, kind, values))
        except self._optuna.exceptions.UpdateFinishedTrialError:
            return False

    @contextmanager
    def beating(self, unit: Unit) -> Iterator[None]:
        """While inside, the storage hears that this worker lives."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.backend.get_heartbeat_interval()):
                try:
                    self.backend.record_heartbeat(unit.trial_id)
                except self._optuna.exceptions.UpdateFinishedTrialError:
                    return  # taken over while this machine slept
                except Exception:  # noqa: BLE001 - a network that fails: the next beat may pass
                    continue

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _may_be_tried(state: UnitState, again: Again) -> bool:
    if again == "ended" or state.state != "failed":
        return again == "ended" and state.ended
    return again == "failed" or ERROR not in state.notes


def names(storage: Storage) -> list[str]:
    """The names of the studies that are ours."""
    summaries = load_optuna().get_all_study_summaries(storage=storage.optuna)
    return [summary.study_name for summary in summaries if PLAN in summary.user_attrs]


def _this_worker() -> dict[str, Any]:
    return {"host": platform.node(), "machine": this_machine(), "process": os.getpid()}


def _is_dead(worker: Mapping[str, Any]) -> bool:
    """True for a process of this machine that does not run any more."""
    return worker.get("machine") == this_machine() and not is_running(int(worker["process"]))
