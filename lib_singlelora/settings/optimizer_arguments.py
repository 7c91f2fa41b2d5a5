"""Arguments of an optimizer as text, such as `d_coef=2; betas=(0.9, 0.99)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from ..errors import SettingsError

OPENING = "([{"
CLOSING = ")]}"
_NEXT = re.compile(r"""[\s,;]*["']?[A-Za-z_]\w*\s*=(?!=)""")
_NAMED = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)\s*(.*)", re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}
EXAMPLE = "expected NAME=VALUE with ; between, such as d_coef=2; betas=(0.9, 0.99)"


def split_arguments(text: str, name: str = "training.optimizer_args") -> list[tuple[str, str]]:
    """(name, text of the value) of each argument, in order.

    A semicolon ends an argument; so does a space or comma before the next NAME=, except in brackets
    and quotes.  An argument may stand in quotes, as on a command line.
    name: the setting's name, for the message.
    Raises: SettingsError, for anything but NAME=VALUE, or an open bracket or quote.
    """
    arguments = []
    for piece in _pieces(text, name):
        named = _NAMED.fullmatch(_unquoted(piece))
        if named is None or not named[2].strip():
            raise SettingsError(f"{name}: found {piece!r}, {EXAMPLE}")
        arguments.append((named[1], named[2].strip()))
    return arguments


def join_arguments(arguments: Iterable[tuple[str, str]]) -> str:
    """The text that `split_arguments` reads back."""
    return "; ".join(f"{key}={value}" for key, value in arguments)


def parse_arguments(text: str, name: str = "training.optimizer_args") -> dict[str, Any]:
    """Arguments as Python values: numbers, tuples, quoted texts, true, false, none.

    Raises: SettingsError, as `split_arguments`, and for any other value.
    """
    values = {}
    for key, value in split_arguments(text, name):
        word = value.lower()
        try:
            values[key] = _WORDS[word] if word in _WORDS else ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise SettingsError(
                f"{name}: found {key}={value!r}, {EXAMPLE}; a text stands in quotes"
            ) from None
    return values


def _pieces(text: str, name: str) -> list[str]:
    """The arguments of a text, blanks and commas around them removed."""
    pieces = []
    start = 0
    depth = 0
    quote = ""
    escaped = False
    for place, sign in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in OPENING:
            depth += 1
        elif sign in CLOSING:
            depth -= 1
        elif depth == 0 and (
            sign in ";\n" or ((sign.isspace() or sign == ",") and _NEXT.match(text, place))
        ):
            pieces.append(text[start:place])
            start = place + 1
    if depth or quote:
        left = "a quote" if quote else "a bracket"
        raise SettingsError(f"{name}: found {text!r} with {left} that has no partner, {EXAMPLE}")
    return [piece for part in (*pieces, text[start:]) if (piece := part.strip(" \t\r\n,"))]


def _unquoted(piece: str) -> str:
    """An argument without the quotes around the whole of it."""
    if (
        len(piece) > 1
        and piece[0] == piece[-1]
        and piece[0] in "\"'"
        and _NAMED.fullmatch(piece[1:-1])
    ):
        return piece[1:-1].strip()
    return piece
