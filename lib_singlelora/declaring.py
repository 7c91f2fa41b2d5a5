"""How one setting is declared and how a value given for it is checked."""

from __future__ import annotations

import csv
import math
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_origin

from .errors import SettingsError

Value = TypeVar("Value")
SEEDS = 2**32  # there are so many; the next after the last is the first


def setting(
    default: Value,
    *,
    label: str,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    unit: str = "",
    ss: str = "",
    pattern: str = "",
    pattern_means: str = "",
    seed: bool = False,
) -> Value:
    """Declare one setting.  low, high: inclusive range.  ss: its key in a LoRA file's metadata.

    pattern: what may stand in the place of a choice, a regular expression; pattern_means: the same in words.
    seed: a random generator's: -1 is replaced by a random one, any other is taken modulo SEEDS, as the WebUI's are.
    """
    declared = {"label": label, "help": help, "low": low, "high": high, "choices": choices, "unit": unit, "ss": ss,
                "pattern": pattern, "pattern_means": pattern_means, "seed": seed}
    value: Value = field(default=default, metadata=declared)
    return value


@dataclass(frozen=True)
class Declaration:
    """All that is known of one setting, for whoever derives something from it."""

    section: str
    key: str
    kind: Any
    default: Any
    label: str
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    unit: str
    ss: str
    pattern: str = ""
    pattern_means: str = ""
    seed: bool = False

    @property
    def name(self) -> str:
        """Dotted name."""
        return f"{self.section}.{self.key}"

    @property
    def allowed(self) -> str:
        """The choices in words."""
        return ", ".join(self.choices) + (f", or {self.pattern_means}" if self.pattern else "")

    def check(self, value: Any) -> Any:
        """The value in its declared type; strings are parsed, lists may be written 1,2,3, or "1,2",3 where commas are in an item.

        Raises: SettingsError.
        """
        if get_origin(self.kind) is tuple:
            inner = get_args(self.kind)[0]
            if isinstance(value, str):
                value = split_list(value)
            elif not isinstance(value, list | tuple):
                value = [value]
            return tuple(self._check_one(inner, item) for item in value)
        return self._check_one(self.kind, value)

    def _check_one(self, kind: type, value: Any) -> Any:
        try:
            checked = _parse(kind, value)
        except (KeyError, ValueError, OverflowError):
            raise SettingsError(f"{self.name}: found {value!r}, expected {_word(kind)}") from None
        if self.choices and checked not in self.choices and not (self.pattern and re.fullmatch(self.pattern, str(checked))):
            raise SettingsError(f"{self.name}: found {value!r}, expected one of {self.allowed}")
        if self.seed and kind is int:
            checked = random.SystemRandom().randrange(SEEDS) if checked == -1 else checked % SEEDS
        low, high = self.low, self.high
        if kind in (int, float) and not ((low is None or checked >= low) and (high is None or checked <= high)):
            raise SettingsError(f"{self.name}: found {value}, expected {low:g} to {high:g} {self.unit}".rstrip())
        return checked


def split_list(text: str) -> list[str]:
    """What lies between commas; an item that holds commas stands in double quotes.  Raises: SettingsError."""
    try:
        pieces = [piece.strip() for line in csv.reader(text.splitlines(), skipinitialspace=True) for piece in line]
    except csv.Error as error:
        raise SettingsError(f"found a list that cannot be read ({error}), expected pieces with commas between them") from None
    return [piece for piece in pieces if piece]


def join_list(values: Iterable[Any]) -> str:
    """The text that `split_list` takes apart again."""
    words = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return ",".join('"{}"'.format(word.replace('"', '""')) if "," in word or '"' in word else word for word in words)


def _word(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def _parse(kind: type, value: Any) -> Any:
    if kind is bool:
        return value if isinstance(value, bool) else _BOOLEANS[str(value).strip().lower()]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    if kind is str:
        return str(value)
    if kind is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
