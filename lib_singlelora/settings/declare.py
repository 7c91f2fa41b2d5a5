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
SEEDS = 2**32  # number of seeds; the one after the last is the first again
PathBase = Literal["", "program", "workspace"]

# Prompts are parsed by regular expressions whose time grows with the square of their length, and
# which cannot be cancelled.
MAX_LETTERS = 20_000
MAX_ITEMS = 10_000
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


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
    """Declare one setting: a dataclass field with this default.

    label, help: its name and one or two sentences, on the page and in --help.
    low, high: inclusive range of a number.
    choices: the allowed texts.
    unit: for the reader, such as px.
    ss: its key in a LoRA file's metadata.
    pattern: regular expression of what is allowed besides the choices.
    pattern_means: the pattern in words.
    seed: a random generator's seed: -1 is replaced by a random one, others are taken modulo SEEDS,
        as in the WebUI.
    path: the value may name files or folders; relative ones start from the folder that the program
        runs in ("program") or from the character's ("workspace").
    word: the value becomes part of file names and captions; the noun is for the error message.
    """
    value: Value = field(
        default=default,
        metadata={
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
        },
    )
    return value


@dataclass(frozen=True)
class Declaration:
    """All that is known of one setting; the fields are the arguments of `setting`.

    section, key: the two halves of its dotted name.
    kind: its type, or a tuple of it.
    """

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
        """The dotted name."""
        return f"{self.section}.{self.key}"

    def text_of(self, value: Any) -> str:
        """A value as it may be written on the command line."""
        return join_list(value) if isinstance(value, tuple) else str(value)

    @property
    def allowed(self) -> str:
        """The choices in words."""
        return ", ".join(self.choices) + (f", or {self.pattern_means}" if self.pattern else "")

    def check(self, value: Any) -> Any:
        """The value in its declared type.

        Texts are parsed; a list may be written 1,2,3, and "1,2",3 where an item has commas.
        Raises: SettingsError, for a wrong type, range or choice.
        """
        if get_origin(self.kind) is tuple:
            inner = get_args(self.kind)[0]
            if isinstance(value, str):
                value = split_list(value)
            elif not isinstance(value, list | tuple):
                value = [value]
            if len(value) > MAX_ITEMS:
                raise SettingsError(
                    f"{self.name}: found {len(value)} items, expected {MAX_ITEMS} at most"
                )
            return tuple(self._check_one(inner, item) for item in value)
        return self._check_one(self.kind, value)

    def _check_one(self, kind: type, value: Any) -> Any:
        try:
            checked = _parse(kind, value)
        except (KeyError, ValueError, OverflowError):
            raise SettingsError(
                f"{self.name}: found {value!r}, expected {_KIND_NAMES[kind]}"
            ) from None
        if self.choices and not self._is_allowed(checked):
            raise SettingsError(f"{self.name}: found {value!r}, expected one of {self.allowed}")
        if kind is str:
            return self._check_text(checked)
        if self.seed and kind is int:
            checked = random.SystemRandom().randrange(SEEDS) if checked == -1 else checked % SEEDS
        if kind is not bool and not self._is_in_range(checked):
            bounds = f"{self.low:g} to {self.high:g} {self.unit}".rstrip()
            raise SettingsError(f"{self.name}: found {value}, expected {bounds}")
        return checked

    def _is_allowed(self, text: str) -> bool:
        matches = self.pattern and re.fullmatch(self.pattern, text)
        return text in self.choices or bool(matches)

    def _is_in_range(self, number: float) -> bool:
        above = self.low is None or number >= self.low
        below = self.high is None or number <= self.high
        return above and below

    def _check_text(self, text: str) -> str:
        if len(text) > MAX_LETTERS:
            raise SettingsError(
                f"{self.name}: found {len(text)} letters ({text[:40]!r} …), expected {MAX_LETTERS}"
                " at most"
            )
        if "\0" in text or not _is_unicode(text):
            raise SettingsError(
                f"{self.name}: found {text!r}, expected text without NUL and lone surrogates"
            )
        if self.word and text != self.default:
            try:
                return check_name(text, self.word)
            except WorkspaceError as error:
                raise SettingsError(f"{self.name}: {error}") from None
        if self.path and names_a_share(text):
            raise SettingsError(
                f"{self.name}: found {text!r}, a path on another machine, expected one on "
                "a drive; give the share a drive letter or a mount point"
            )
        if self.path and _expanded(text) is None:
            raise SettingsError(
                f"{self.name}: found {text!r}, expected a path; its ~ is no known home folder"
            )
        return text


def names_a_share(text: str) -> bool:
    r"""True if a path leads to another machine: \\host\share, //host/share, mixtures, \\?\UNC\….

    Windows sends such a host the user's name and password hash as soon as the path is looked at, so
    only its text may be examined; on every system, because workspaces travel between them.
    """
    share = re.compile(r"\s*[\\/]([\\/]|\?\?[\\/])")
    return any(share.match(path) for path in (text, _expanded(text) or ""))


def _expanded(text: str) -> str | None:
    """The path with ~ replaced; None where the user has no home folder."""
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def split_list(text: str) -> list[str]:
    """The items between commas; an item that has commas stands in double quotes.

    Raises: SettingsError, for broken quotes.
    """
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise SettingsError(
            f"found a list that cannot be read ({error}), expected items separated by commas"
        ) from None
    return [stripped for row in rows for item in row if (stripped := item.strip())]


def join_list(values: Iterable[Any]) -> str:
    """The text that `split_list` reads back."""
    items = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return ",".join(_quoted(item) if "," in item or '"' in item else item for item in items)


def _quoted(item: str) -> str:
    return '"' + item.replace('"', '""') + '"'


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
