"""HTTP routes for sweeps: what one would cost, starting it, its results."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from fastapi import APIRouter
from pydantic import BaseModel, StrictInt, StrictStr

from ..service.service import Service, view_of
from ..service.sweeps import SweepService
from ..settings.declare import split_list
from ..settings.schema import declaration
from ..web.path_fence import check_settings


class NewSweep(BaseModel):
    """What to try.

    values: dotted names and texts, such as {"training.rank": "4,8,16"}.
    budget: trials; null for every combination, or the usual number.
    """

    values: Any = {}  # pydantic 1 would take a list for a Dict
    budget: Optional[StrictInt] = None
    objectives: StrictStr = "value"
    sampler: StrictStr = ""
    pruner: StrictStr = "median"
    name: StrictStr = ""


def add_routes(routes: APIRouter, service: Service) -> None:
    """Add the routes of sweeps."""
    sweeps = SweepService(service)

    @routes.post("/workspaces/{name}/sweeps/plan", summary="How many trials, and how long")
    def plan(name: str, given: NewSweep) -> Dict[str, Any]:
        _check_paths(service, name, given)
        return sweeps.plan(name, given.values, _options(given))

    @routes.post("/workspaces/{name}/sweeps", summary="Queue a sweep", status_code=202)
    def start(name: str, given: NewSweep) -> Dict[str, Any]:
        _check_paths(service, name, given)
        return view_of(sweeps.start(name, given.values, _options(given)))

    @routes.get("/workspaces/{name}/sweeps", summary="Every sweep's result, the newest first")
    def every(name: str) -> List[Dict[str, Any]]:
        return sweeps.all(name)

    @routes.get("/workspaces/{name}/sweeps/{sweep}", summary="One sweep's result")
    def one(name: str, sweep: str) -> Dict[str, Any]:
        return sweeps.one(name, sweep)


def _options(given: NewSweep) -> Dict[str, Any]:
    names = ("budget", "objectives", "sampler", "pruner", "name")
    return {name: getattr(given, name) for name in names}


def _check_paths(service: Service, name: str, given: NewSweep) -> None:
    """Raises: SettingsError, for a value that names a file which HTTP does not reach."""
    root = service.workspace(name).root
    for setting, text in given.values.items() if isinstance(given.values, dict) else ():
        if isinstance(text, str) and declaration(setting).path:
            for value in split_list(text):
                check_settings(service, {setting: value}, root)
