"""A journal with heartbeats: Optuna's own has none, and a dead worker's trial would run for ever.

A journal is a file that is only appended to; a shared folder is enough for several machines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

BEAT = "heartbeat"  # system attribute of a trial: seconds since 1970 by its worker's clock


class BeatingJournal(JournalStorage, BaseHeartbeat):
    """A journal that knows which running trials are dead.

    path: of the file, which is made if there is none.
    interval: seconds between heartbeats.
    grace_period: seconds without one until a trial counts as dead, named as in Optuna's databases.
    """

    def __init__(
        self, path: str, interval: int, grace_period: int, on_dead: Callable[[Any, Any], None]
    ) -> None:
        # A symbolic link, the default lock, needs a privilege on Windows
        lock = JournalFileOpenLock(path) if os.name == "nt" else None
        super().__init__(JournalFileBackend(path, lock_obj=lock))
        self._interval = interval
        self.grace_period = grace_period
        self._on_dead = on_dead

    def record_heartbeat(self, trial_id: int) -> None:
        """Write that the trial's worker is alive."""
        self.set_trial_system_attr(trial_id, BEAT, time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        now = time.time()
        return [
            trial._trial_id
            for trial in running
            if now - trial.system_attrs.get(BEAT, now) > self.grace_period
        ]

    def get_heartbeat_interval(self) -> int:
        """Seconds."""
        return self._interval

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Any, Any], None]:
        """What is done with a dead worker's trial."""
        return self._on_dead
