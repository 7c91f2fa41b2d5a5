"""How a sweep chooses what to try, and which trials it gives up: Optuna's samplers and pruners."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import SettingsError
from ..files.fileio import fingerprint
from ..metrics.ranking import CRITERIA, LESS_IS_BETTER
from .optuna_package import load_optuna
from .space import MOST_TRIALS, Parameter, grid_size
from .unit_queue import Unit, UnitQueue

SAMPLERS = ("grid", "random", "tpe", "nsga2")
PRUNERS = ("median", "halving", "none")
VALUE = "value"  # the judge's one figure of a cell
OBJECTIVES = (VALUE, *CRITERIA)
MOST_OBJECTIVES = 3  # the front is drawn
BUDGET = 20  # trials, where the space is no grid
BEFORE_PRUNING = 4  # trials that run to their end first


def read_objectives(text: str) -> tuple[str, ...]:
    """Objectives from a list between commas.  Raises: SettingsError."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in found if name not in OBJECTIVES]
    if unknown or not 1 <= len(found) <= MOST_OBJECTIVES:
        raise SettingsError(
            f"--objectives: found {text!r}, expected 1 to {MOST_OBJECTIVES} of"
            f" {', '.join(OBJECTIVES)}"
        )
    return found


def direction_of(objective: str) -> str:
    """Optuna's word for which way is better."""
    return "minimize" if objective in LESS_IS_BETTER else "maximize"


def default_sampler(space: Sequence[Parameter], budget: int | None, objectives: int) -> str:
    """Every combination where that is within the budget, else a search."""
    size = grid_size(space)
    if size is not None and size <= (budget or max(BUDGET, size)):
        return "grid"
    return "nsga2" if objectives > 1 and (budget or BUDGET) >= 100 else "tpe"


def planned_units(
    space: Sequence[Parameter], sampler: str, budget: int | None, present: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The units of a sweep: their keys, and the parameters that are chosen already.

    present: the settings as they are; a search begins with them, so that its best is no worse.
    Raises: SettingsError.
    """
    if sampler == "grid":
        size = grid_size(space)
        if size is None:
            ranges = ", ".join(each.name for each in space if not each.values)
            raise SettingsError(
                f"--sampler grid: found a range ({ranges}), expected values, such as 4,8,16 or"
                " 1e-4..2e-3:log:5"
            )
        _check_count(size)
        names = [parameter.name for parameter in space]
        chosen = [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*(parameter.values for parameter in space))
        ][: budget or None]
    else:
        _check_count(budget or BUDGET)
        chosen = [{} for _ in range(budget or BUDGET)]
        first = {parameter.name: present[parameter.name] for parameter in space}
        if all(parameter.holds(first[parameter.name]) for parameter in space):
            chosen[0] = first
    return {f"{number:04d}": params for number, params in enumerate(chosen)}


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_TRIALS:
        raise SettingsError(f"--budget: found {count} trials, expected 1 to {MOST_TRIALS}")


def sampler_of(kind: str, seed: int, number: int) -> Any:
    """Optuna's sampler for one trial.

    Its seed is the trial's own: workers that share one would all try the same.
    """
    samplers = load_optuna().samplers
    own = int(fingerprint(seed, number)[:8], 16)
    if kind == "nsga2":
        return samplers.NSGAIISampler(seed=own, population_size=20)
    if kind == "tpe":
        # constant_liar: trials that others run count as tried
        return samplers.TPESampler(seed=own, n_startup_trials=6, constant_liar=True)
    return samplers.RandomSampler(seed=own)


class Pruning:
    """Compares a trial's epochs with those of the trials before it.

    Optuna's pruners know one objective; here each trial's is its scalar, whatever the sweep's are.
    The first epochs of a training say nothing of its last ones (the best of a sweep has been the
    second worst of its first epochs), so they are not compared: median begins at half of the
    epochs, halving at a third and halves again at each doubling.
    """

    def __init__(self, kind: str, queue: UnitQueue) -> None:
        self._optuna = load_optuna()
        self._kind = kind
        self._queue = queue

    def gives_up(self, unit: Unit, epochs: int) -> bool:
        """True where the newest epoch of the unit, of so many, is not worth going on from."""
        first = math.ceil(epochs / (3 if self._kind == "halving" else 2))
        if self._kind == "none" or max(unit.epochs, default=0) < first:
            return False
        shadow = self._optuna.create_study(direction="maximize", pruner=self._pruner(first))
        for state in self._queue.states().values():
            if state.state in ("complete", "pruned") and state.epochs:
                # Told anew epoch by epoch: halving counts who was still there at each of its rungs
                other = shadow.ask()
                for epoch, value in sorted(state.epochs.items()):
                    other.report(value, epoch)
                    other.should_prune()
                given_up = state.state == "pruned"
                states = self._optuna.trial.TrialState
                shadow.tell(
                    other,
                    None if given_up else state.epochs[max(state.epochs)],
                    state=states.PRUNED if given_up else states.COMPLETE,
                )
        own = shadow.ask()
        verdict = False
        for epoch, value in sorted(unit.epochs.items()):
            own.report(value, epoch)
            verdict = own.should_prune()  # at a rung only the first question is answered
        return bool(verdict)

    def _pruner(self, first: int) -> Any:
        """Optuna's, which compares from this epoch on."""
        pruners = self._optuna.pruners
        if self._kind == "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)
        return pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING, n_warmup_steps=first)
