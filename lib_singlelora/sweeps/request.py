"""What a user asks of a sweep, read and checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError
from ..files.fileio import fingerprint
from ..files.names import check_name
from ..settings.schema import Settings
from .search import PRUNERS, SAMPLERS, default_sampler, planned_units, read_objectives
from .space import Parameter, read_space
from .storage import INTERVAL


@dataclass(frozen=True)
class SweepRequest:
    """What the user asks for.

    assignments: NAME=VALUES texts.
    budget: trials; None for the usual number.
    storage: URL or path; '' for a journal in the workspace.
    objectives: names between commas.
    sampler: '' to choose.
    name: of the sweep; '' for one made from what varies.
    heartbeat: seconds.
    """

    assignments: Sequence[str]
    budget: int | None = None
    storage: str = ""
    objectives: str = "value"
    sampler: str = ""
    pruner: str = "median"
    name: str = ""
    seed: int = 0
    heartbeat: int = INTERVAL


@dataclass(frozen=True)
class PlannedSweep:
    """A request that was read and is known to be possible.

    units: the parameters that are chosen already, by the trial's key.
    """

    name: str
    space: Sequence[Parameter]
    settings: Settings
    objectives: tuple[str, ...]
    sampler: str
    units: dict[str, dict[str, Any]]
    request: SweepRequest

    @property
    def words(self) -> list[str]:
        """What varies, for people."""
        return [parameter.words for parameter in self.space]


def plan_sweep(settings: Settings, request: SweepRequest) -> PlannedSweep:
    """The plan of a request on a workspace's settings; touches nothing.

    Raises: SettingsError.
    """
    space, fixed = read_space(request.assignments)
    if not space:
        raise SettingsError(
            "--set: found no setting with several values, expected one, such as"
            " training.rank=4,8,16 or training.unet_lr=1e-4..2e-3:log"
        )
    objectives = read_objectives(request.objectives)
    sampler = request.sampler or default_sampler(space, request.budget, len(objectives))
    for option, found, known in (
        ("--sampler", sampler, SAMPLERS),
        ("--pruner", request.pruner, PRUNERS),
    ):
        if found not in known:
            raise SettingsError(f"{option}: found {found!r}, expected one of {', '.join(known)}")
    settings = settings.with_values(fixed)
    present = {parameter.name: settings.get(parameter.name) for parameter in space}
    units = planned_units(space, sampler, request.budget, present)
    for parameter in space:  # an end of a range that goes with nothing else is told now
        for value in parameter.values or (parameter.low, parameter.high):
            settings.with_values({parameter.name: value})
    mark = fingerprint([each.as_dict() for each in space], sorted(fixed.items()), objectives)
    name = check_name(request.name, "sweep") if request.name else mark[:6]
    return PlannedSweep(name, space, settings, objectives, sampler, units, request)
