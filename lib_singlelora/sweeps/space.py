"""What a sweep varies: `training.rank=4,8,16`, `training.unet_lr=1e-4..2e-3:log`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from ..errors import SettingsError
from ..settings.declare import Declaration, split_list
from ..settings.schema import Settings, declaration, parse_assignment

RANGE = re.compile(r"\s*([^\s.][^\s:]*?)\s*\.\.\s*([^\s:]+)\s*(?::\s*(log))?\s*(?::\s*(\d+))?\s*")
SECTION = "training"
# What the trials share is made before they begin
FIXED_SECTIONS = ("training", "plot", "judge")
DIGITS = 3  # of a number within a range: a preset is read by people
MOST_TRIALS = 10_000


@dataclass(frozen=True)
class Parameter:
    """One setting that varies: over `values`, or from `low` to `high`.

    name: dotted.
    values: alternatives, checked; () for a range.
    log: the range is even in the logarithm.
    whole: of a range: whole numbers.
    """

    name: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Any) -> Any:
        """A value, from Optuna's trial."""
        if self.values:
            return trial.suggest_categorical(self.name, list(self.values))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return rounded(trial.suggest_float(self.name, self.low, self.high, log=self.log))

    def holds(self, value: Any) -> bool:
        """True for a value that may be suggested."""
        return value in self.values if self.values else self.low <= value <= self.high

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the storage."""
        if self.values:
            return {"name": self.name, "values": list(self.values)}
        return {
            "name": self.name,
            "low": self.low,
            "high": self.high,
            "log": self.log,
            "whole": self.whole,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parameter:
        """What `as_dict` wrote."""
        return cls(**{**values, "values": tuple(values.get("values", ()))})

    @property
    def words(self) -> str:
        """For people."""
        if self.values:
            return f"{self.name}: {', '.join(map(str, self.values))}"
        return f"{self.name}: {self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


def rounded(value: float) -> float:
    """The number with the digits that a preset shows."""
    return float(f"{value:.{DIGITS}g}")


def read_space(assignments: Iterable[str]) -> tuple[list[Parameter], dict[str, Any]]:
    """(what varies, the settings with one value) of NAME=VALUE texts.

    Raises: SettingsError, for an unknown setting or a value that it cannot have.
    """
    varied: dict[str, Parameter] = {}
    fixed: dict[str, Any] = {}
    for text in assignments:
        name, value = parse_assignment(text)
        if name in varied or name in fixed:
            raise SettingsError(f"{name}: found it twice in --set, expected all values in one")
        parameter = _parameter(declaration(name), value)
        if parameter is None:
            fixed[name] = value
        else:
            varied[name] = parameter
    for name in (*varied, *fixed):
        allowed = (SECTION,) if name in varied else FIXED_SECTIONS
        if name.partition(".")[0] not in allowed:
            raise SettingsError(
                f"{name}: found a setting of what the trials share, expected one of"
                f" {' or '.join(f'{each}.*' for each in allowed)}; set it in the workspace first"
            )
    Settings.from_dict(fixed)
    return list(varied.values()), fixed


def _parameter(declared: Declaration, text: str) -> Parameter | None:
    """What varies; None for one value."""
    if get_origin(declared.kind) is tuple:  # its commas are the setting's own
        declared.check(text)
        return None
    match = RANGE.fullmatch(text) if declared.kind in (int, float) else None
    if match is not None:
        return _range(declared, match)
    if declared.kind in (int, float) and ".." in text:
        raise SettingsError(
            f"{declared.name}: found {text!r}, expected LOW..HIGH, LOW..HIGH:log or"
            " LOW..HIGH:log:COUNT"
        )
    values = tuple(dict.fromkeys(map(declared.check, split_list(text))))
    return Parameter(declared.name, values) if len(values) > 1 else None


def _range(declared: Declaration, match: re.Match[str]) -> Parameter:
    low, high = (declared.check(end) for end in match.group(1, 2))
    log = bool(match[3])
    if not low < high or (log and low <= 0):
        raise SettingsError(
            f"{declared.name}: found {match[0].strip()!r}, expected a low end"
            f"{' above 0' if log else ''} and a higher one"
        )
    if match[4] is None:
        return Parameter(declared.name, (), low, high, log, declared.kind is int)
    count = int(match[4])
    if count < 2:
        raise SettingsError(f"{declared.name}: found {count} values, expected 2 at least")
    shares = [step / (count - 1) for step in range(count)]
    points = [
        low * (high / low) ** share if log else low + (high - low) * share for share in shares
    ]
    whole = declared.kind is int
    return Parameter(
        declared.name,
        tuple(dict.fromkeys(round(point) if whole else rounded(point) for point in points)),
    )


def grid_size(space: Sequence[Parameter]) -> int | None:
    """The number of combinations; None with a range in it."""
    if any(not parameter.values for parameter in space):
        return None
    return math.prod(len(parameter.values) for parameter in space)
