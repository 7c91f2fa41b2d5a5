"""Values as users write them in other trainers' files: `0,0001`, `10%`, `512.0,512.0`."""

from __future__ import annotations

import ast
import re
from typing import Any

from ..errors import SettingsError
from ..settings.declare import Declaration

NOTHING: tuple[Any, ...] = ("", None, "None", "none", [], {})
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_BETWEEN = re.compile(r"[,;\sx×]+")


def is_nothing(value: Any) -> bool:
    """True if a value stands for none: empty, None, or the word None."""
    return any(
        value is empty or (value == empty and type(value) is type(empty)) for empty in NOTHING
    )


def number(value: Any) -> float:
    """A number or its text, which may have a decimal comma or be a percentage.

    Raises: ValueError.
    """
    if isinstance(value, str):
        text = value.strip().strip("\"'")
        if text.endswith("%"):
            return number(text[:-1]) / 100
        if DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        return float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        return float(value)
    except OverflowError:  # integers in JSON have no limit
        raise ValueError from None


def items(value: Any) -> list[Any]:
    """A list, or its text: `[1, 2]`, or with commas or spaces between.

    Raises: ValueError.
    """
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in "[(" and text[-1:] in ")]":
            try:
                parsed = ast.literal_eval(text)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                return [piece for piece in _BETWEEN.split(text[1:-1]) if piece]
            return list(parsed) if isinstance(parsed, list | tuple) else [parsed]
    return [] if is_nothing(value) else [value]


def rates(value: Any) -> list[float]:
    """Learning rates: one, or a list of them.  Raises: ValueError."""
    numbers = []
    for item in items(value):
        if isinstance(item, str) and not DECIMAL_COMMA.fullmatch(item.strip()):
            numbers += [number(piece) for piece in _BETWEEN.split(item.strip()) if piece]
        else:
            numbers.append(number(item))
    return numbers


def sides(value: Any) -> tuple[int, int]:
    """Width and height of a resolution: `512`, `512,512`, `512.0,512.0`, `512x768`, [512, 512].

    Raises: ValueError.
    """
    pieces = items(value)
    if len(pieces) == 1 and isinstance(pieces[0], str):
        pieces = [piece for piece in _BETWEEN.split(pieces[0].strip("()[] \"'")) if piece]
    numbers = [number(piece) for piece in pieces]
    if len(numbers) not in (1, 2) or any(not side.is_integer() or side < 1 for side in numbers):
        raise ValueError
    return int(numbers[0]), int(numbers[-1])


def as_setting(declared: Declaration, value: Any) -> Any:
    """Another trainer's value in our setting's type; integers may be 1.0 or "1".

    Raises: SettingsError.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if declared.kind in (int, float) and isinstance(value, str | int | float):
        try:
            value = number(value)
        except ValueError:
            raise SettingsError(f"{declared.name}: found {value!r}, expected a number") from None
    if declared.kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if declared.choices and isinstance(value, str):
        text = value.strip()
        value = next(
            (choice for choice in declared.choices if choice.lower() == text.lower()), text
        )
    if declared.kind is str and isinstance(value, bool):
        raise SettingsError(f"{declared.name}: found {value!r}, expected text")
    return declared.check(value)
