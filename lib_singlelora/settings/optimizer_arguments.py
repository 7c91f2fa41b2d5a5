"""Arguments of an optimizer as text: `d_coef=2; betas=(0.9, 0.99)`; also as other trainers write
them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from ..errors import SettingsError

OPENING, CLOSING = "([{", ")]}"
_NEXT = re.compile(r"""[\s,;]*["']?[A-Za-z_]\w*\s*=(?!=)""")
_NAMED = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)\s*(.*)", re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}
EXAMPLE = "expected NAME=VALUE with ; between, such as d_coef=2; betas=(0.9, 0.99)"


def split_arguments(text: str, name: str = "training.optimizer_args") -> list[tuple[str, str]]:
    """(name, value's text) of each argument, in their order; brackets and quotes are never cut
    through.

    A semicolon ends an argument; so does a space or a comma that the next NAME= follows, and an
    argument may stand in quotes, as on a command line.  name: for the message.
    name: for the message.
    Raises: SettingsError, for what is no NAME=VALUE, or a bracket or a quote that stays open.
    """
    found = []
    for piece in _pieces(text, name):
        named = _NAMED.fullmatch(_unquoted(piece))
        if named is None or not named[2].strip():
            raise SettingsError(f"{name}: found {piece!r}, {EXAMPLE}")
        found.append((named[1], named[2].strip()))
    return found


def join_arguments(arguments: Iterable[tuple[str, str]]) -> str:
    """The text that `split_arguments` takes apart again."""
    return "; ".join(f"{key}={value}" for key, value in arguments)


def parse_arguments(text: str, name: str = "training.optimizer_args") -> dict[str, Any]:
    """Arguments as Python's values: numbers, tuples, texts in quotes, true, false, none.

    Raises: SettingsError, as `split_arguments`, and for a value that is none of these.
    """
    found = {}
    for key, value in split_arguments(text, name):
        try:
            found[key] = (
                _WORDS[value.lower()] if value.lower() in _WORDS else ast.literal_eval(value)
            )
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise SettingsError(
                f"{name}: found {key}={value!r}, {EXAMPLE}; a text stands in quotes"
            ) from None
    return found


def _pieces(text: str, name: str) -> list[str]:
    found, start, depth, quote, escaped = [], 0, 0, "", False
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
            found.append(text[start:place])
            start = place + 1
    if depth or quote:
        left = "a quote" if quote else "a bracket"
        raise SettingsError(f"{name}: found {text!r} with {left} that has no partner, {EXAMPLE}")
    return [piece for part in (*found, text[start:]) if (piece := part.strip(" \t\r\n,"))]


def _unquoted(piece: str) -> str:
    """Without the quotes around the whole of it."""
    if (
        len(piece) > 1
        and piece[0] == piece[-1]
        and piece[0] in "\"'"
        and _NAMED.fullmatch(piece[1:-1])
    ):
        return piece[1:-1].strip()
    return piece
