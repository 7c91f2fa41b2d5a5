"""Sweeps of a workspace, for the page and the HTTP API: planned, started, looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError, SettingsError
from ..files.fileio import read_json
from ..files.names import check_name
from ..jobs import Job, Ticket
from ..workspace.training_preset import current
from ..workspace.workspace import Workspace
from .service import Service

if TYPE_CHECKING:
    from ..sweeps.request import PlannedSweep, SweepRequest

RESULT = "sweep.json"
FILES = ("table", "sheet", "front")  # of a result


class SweepService:
    """Requests on sweeps; imports are late for the reason that `service.py` gives.

    values: settings by their dotted names, each a text such as "4,8,16" or "1e-4..2e-3:log"; one
        with a single value is every trial's.
    options: budget, objectives, sampler, pruner, name, as `sweep` has them on the command line.
    Files in results are relative to the workspace.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    def plan(
        self, name: str, values: Mapping[str, str], options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """How many trials and how long; touches nothing.

        Raises: NotFoundError, SettingsError.
        """
        from ..sweeps.estimate import estimate

        workspace = self.service.workspace(name)
        planned = self._planned(workspace, _request(values, options))
        return {"workspace": name, **estimate(planned, workspace).as_dict()}

    def start(
        self, name: str, values: Mapping[str, str], options: Mapping[str, Any] | None = None
    ) -> Ticket[dict[str, Any]]:
        """Queue the sweep: its trials one after the other, on the loaded checkpoint.

        Raises: NotFoundError, SettingsError, MissingPackageError, TooManyError; nothing is queued
            then.
        """
        from ..sweeps.optuna_package import load_optuna

        load_optuna()
        workspace = self.service.workspace(name)
        request = _request(values, options)
        self._planned(workspace, request)

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..sweeps.report import sweep_result
            from ..sweeps.sweep import begin_sweep, run_sweep

            with self.service.host.exclusive(job):
                settings = current(workspace, self.service.host.asked_preset)[0]
                context = StageContext(settings, workspace, self.service.host, job)
                queue = begin_sweep(context, self._planned(workspace, request))
                try:
                    run_sweep(queue, context)
                finally:  # after a cancel too: what is done can be looked at
                    result = sweep_result(queue)
            return _relative(result, workspace.root)

        return self.service.runner.submit(
            f"{name}: sweep", work, workspace.events, self.service.host.mirror
        )

    def all(self, name: str) -> list[dict[str, Any]]:
        """The results of every sweep, the last changed first.  Raises: NotFoundError."""
        root = self.service.workspace(name).root
        files = sorted(
            (root / "sweeps").glob(f"*/{RESULT}"), key=lambda path: -path.stat().st_mtime_ns
        )
        return [_relative(read_json(path), root) for path in files]

    def one(self, name: str, sweep: str) -> dict[str, Any]:
        """The result of one sweep.  Raises: NotFoundError, WorkspaceError."""
        root = self.service.workspace(name).root
        try:
            return _relative(read_json(root / "sweeps" / check_name(sweep, "sweep") / RESULT), root)
        except FileNotFoundError:
            found = ", ".join(each["sweep"] for each in self.all(name)) or "none yet"
            raise NotFoundError(
                f"sweep {sweep!r}: found none of this name, expected one of {found}"
            ) from None

    def _planned(self, workspace: Workspace, request: SweepRequest) -> PlannedSweep:
        from ..sweeps.request import plan_sweep

        return plan_sweep(current(workspace, self.service.host.asked_preset)[0], request)


def _request(values: Mapping[str, str], options: Mapping[str, Any] | None) -> SweepRequest:
    from ..sweeps.request import SweepRequest

    if not isinstance(values, Mapping) or not all(
        isinstance(text, str) for text in values.values()
    ):
        raise SettingsError(
            f"values: found {values!r}, expected an object of dotted names and texts, such as"
            ' {"training.rank": "4,8,16"}'
        )
    return SweepRequest(tuple(f"{key}={text}" for key, text in values.items()), **(options or {}))


def _relative(result: dict[str, Any], root: Path) -> dict[str, Any]:
    """The result with files relative to the workspace, as the route of its files wants them."""

    def inside(path: str | None) -> str | None:
        if not path:
            return None
        try:
            return Path(path).relative_to(root).as_posix()
        except ValueError:  # the workspace was moved since
            return None

    trials = [{**trial, "sheet": inside(trial["sheet"])} for trial in result["trials"]]
    files = {name: inside(result[name]) for name in FILES}
    best = result["best"] and {**result["best"], "sheet": inside(result["best"]["sheet"])}
    return {**result, **files, "trials": trials, "best": best}
