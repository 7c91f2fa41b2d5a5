"""How one setting is declared and how a value given for it is checked."""

from __future__ import annotations

import csv
import math
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from ..errors import SettingsError, WorkspaceError
from ..files.names import check_name

Value = TypeVar("Value")
SEEDS = 2**32  # there are so many; the next after the last is the first
PathBase = Literal["", "program", "workspace"]

# Prompts are taken apart by expressions whose time grows with the square of their length, and
# cannot be cancelled.
MOST_LETTERS, MOST_ITEMS = 20_000, 10_000


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
    path: PathBase = "",
    word: str = "",
) -> Value:
    """Declare one setting.  low, high: inclusive range.  ss: its key in a LoRA file's metadata.

    pattern: what may stand in the place of a choice, a regular expression; pattern_means: the same
        in words.
    seed: a random generator's: -1 is replaced by a random one, any other is taken modulo SEEDS, as
        the WebUI's are.
    path: the value may name files or folders, and where relative ones start: "program" for the
        folder that the program runs in, "workspace" for the character's own.
    word: the value becomes a part of file names and captions, and what `check_name` calls it.
    """
    declared = {
        "label": label,
        "help": help,
        "low": low,
        "high": high,
        "choices": choices,
        "unit": unit,
        "ss": ss,
        "pattern": pattern,
        "pattern_means": pattern_means,
        "seed": seed,
        "path": path,
        "word": word,
    }
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
    path: PathBase = ""
    word: str = ""

    @property
    def name(self) -> str:
        """Dotted name."""
        return f"{self.section}.{self.key}"

    @property
    def allowed(self) -> str:
        """The choices in words."""
        return ", ".join(self.choices) + (f", or {self.pattern_means}" if self.pattern else "")

    def check(self, value: Any) -> Any:
        """The value in its declared type; strings are parsed, lists may be written 1,2,3, or
        "1,2",3 where commas are in an item.

        Raises: SettingsError.
        """
        if get_origin(self.kind) is tuple:
            inner = get_args(self.kind)[0]
            if isinstance(value, str):
                value = split_list(value)
            elif not isinstance(value, list | tuple):
                value = [value]
            if len(value) > MOST_ITEMS:
                raise SettingsError(
                    f"{self.name}: found {len(value)} items, expected {MOST_ITEMS} at most"
                )
            return tuple(self._check_one(inner, item) for item in value)
        return self._check_one(self.kind, value)

    def _check_one(self, kind: type, value: Any) -> Any:
        try:
            checked = _parse(kind, value)
        except (KeyError, ValueError, OverflowError):
            raise SettingsError(f"{self.name}: found {value!r}, expected {_word(kind)}") from None
        if (
            self.choices
            and checked not in self.choices
            and not (self.pattern and re.fullmatch(self.pattern, str(checked)))
        ):
            raise SettingsError(f"{self.name}: found {value!r}, expected one of {self.allowed}")
        if self.seed and kind is int:
            checked = random.SystemRandom().randrange(SEEDS) if checked == -1 else checked % SEEDS
        if kind is str:
            checked = self._check_text(checked)
        low, high = self.low, self.high
        if kind in (int, float) and not (
            (low is None or checked >= low) and (high is None or checked <= high)
        ):
            raise SettingsError(
                f"{self.name}: found {value}, expected {low:g} to {high:g} {self.unit}".rstrip()
            )
        return checked

    def _check_text(self, text: str) -> str:
        if len(text) > MOST_LETTERS:
            raise SettingsError(
                f"{self.name}: found {len(text)} letters ({text[:40]!r} …), expected {MOST_LETTERS}"
                " at most"
            )
        if "\0" in text or not _is_unicode(text):
            raise SettingsError(
                f"{self.name}: found {text!r}, expected text without NUL and half characters"
            )
        if self.word and text != self.default:
            try:
                return check_name(text, self.word)
            except WorkspaceError as error:
                raise SettingsError(f"{self.name}: {error}") from None
        if self.path and names_a_share(text):
            raise SettingsError(
                f"{self.name}: found {text!r}, a place on another machine, expected one on "
                "a drive; give the share a drive letter or a mount point"
            )
        if self.path and _expanded(text) is None:
            raise SettingsError(
                f"{self.name}: found {text!r}, expected a path; ~ stands for no known home"
            )
        return text


def names_a_share(text: str) -> bool:
    r"""Whether a path leads to another machine: \\host\share, //host/share, their mixtures, \\?\UNC\….

    Windows greets such a host with the user's name and password hash as soon as the path is looked
    at, so it must be told from its text; on every system, for workspaces travel between them.
    """
    return any(
        re.match(r"\s*[\\/]([\\/]|\?\?[\\/])", each) for each in (text, _expanded(text) or "")
    )


def _expanded(text: str) -> str | None:
    """The path with ~ replaced; None where it stands for nothing."""
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a half of a surrogate pair
        return False
    return True


def split_list(text: str) -> list[str]:
    """What lies between commas; an item that holds commas stands in double quotes.

    Raises: SettingsError.
    """
    try:
        pieces = [
            piece.strip()
            for line in csv.reader(text.splitlines(), skipinitialspace=True)
            for piece in line
        ]
    except csv.Error as error:
        raise SettingsError(
            f"found a list that cannot be read ({error}), expected pieces with commas between them"
        ) from None
    return [piece for piece in pieces if piece]


def join_list(values: Iterable[Any]) -> str:
    """The text that `split_list` takes apart again."""
    words = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return ",".join(
        '"{}"'.format(word.replace('"', '""')) if "," in word or '"' in word else word
        for word in words
    )


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


_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
