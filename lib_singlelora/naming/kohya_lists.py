"""kohya's three lists of block weights, `down/mid/up`: numbers, or a shape for each side.

Source: sd-scripts networks/lora.py, get_block_lr_weight.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..errors import PresetError
from .blocks import BlockLayout

# kohya's shapes over the blocks of one side, from 0 (the first) to 1 (the last).
SHAPES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "cosine": lambda place: math.sin(math.pi * (1 - place) / 2),
        "sine": lambda place: math.sin(math.pi * place / 2),
        "linear": lambda place: place,
        "reverse_linear": lambda place: 1 - place,
        "zeros": lambda place: 0.0,
    }
)
_FROM_PROMPT = re.compile(r"X(?:([+-])(\d+\.?\d*|\.\d+))?")


def read_lists(text: str, layout: BlockLayout) -> tuple[list[float], list[float], list[float]]:
    """The factors of input, middle and output blocks, as many as the layout has: 12/1/12 or 9/3/9.

    As kohya: a list that is too short is padded with 1, one that is too long is cut, what is not
    above 0 is not trained.
    Raises: PresetError, for other than three lists, and for a value that is not a number.
    """
    down, middle, up = (
        [max(0.0, value) for value in (values + [1.0] * count)[:count]]
        for _, values, count in _lists(text, layout)
    )
    return down, middle, up


def list_remarks(text: str, layout: BlockLayout) -> list[str]:
    """What becomes of lists that do not have the layout's lengths, a sentence each."""
    sentences = []
    for name, values, count in _lists(text, layout):
        if len(values) != count:
            missing = count - len(values)
            change = "the rest is cut" if missing < 0 else f"{missing} are taken to be 1"
            sentences.append(
                f"block weights: {name} has {len(values)} values, expected {count}; as with kohya"
                f" {change}"
            )
        elif name == "mid" and len(set(values)) > 1:
            sentences.append(
                "block weights: mid has a value for each of ResBlock, transformer and ResBlock; the"
                " transformer's counts for the whole middle block"
            )
    return sentences


def _lists(text: str, layout: BlockLayout) -> list[tuple[str, list[float], int]]:
    """(name, values, how many there should be) of each list."""
    parts = text.split("/")
    if len(parts) != 3:
        raise PresetError(
            f"block weights {text!r}: found {len(parts)} lists, expected three: down/mid/up"
        )
    counts = (layout.side, layout.kohya_middle, layout.side)
    names = ("down", "mid", "up")
    return [
        (name, _values(part, text, count, name), count)
        for name, part, count in zip(names, parts, counts, strict=True)
    ]


def _values(part: str, text: str, count: int, side: str) -> list[float]:
    """One list: numbers, or `count` values of a shape such as `cosine+.25`."""
    name, plus, base = part.strip().partition("+")
    if name not in SHAPES:
        if any(letter.isalpha() for letter in name) and name not in ("R", "U", "X"):
            raise PresetError(
                f"block weights {text!r}: found {part.strip()!r}, expected numbers, or one of"
                f" {', '.join(SHAPES)} with or without a base such as +0.25"
            )
        return [number(piece, text, random.Random(0), 1.0) for piece in part.split(",")]
    if side == "mid":
        blocks, wanted = ("one middle block", "a number") if count == 1 else ("middle", "numbers")
        raise PresetError(
            f"block weights {text!r}: found {part.strip()!r} for the {blocks}, expected {wanted}"
        )
    lift = number(base, text, random.Random(0), 1.0) if plus else 0.0
    return [SHAPES[name](index / (count - 1)) + lift for index in range(count)]


def number(piece: str, text: str, chance: random.Random, x: float) -> float:
    """A value: a number, R or U (random), X, X+0.2.  Raises: PresetError."""
    piece = piece.strip()
    special = {
        "R": lambda: round(chance.random(), 3),
        "U": lambda: round(chance.uniform(-0.5, 1.5), 3),
    }
    if piece in special:
        return special[piece]()
    if inherited := _FROM_PROMPT.fullmatch(piece):
        return x + float(f"{inherited[1] or '+'}{inherited[2] or 0}")
    try:
        value = float(piece)
        if math.isfinite(value):
            return value
        raise ValueError
    except ValueError:
        raise PresetError(
            f"block weights {text!r}: found {piece!r}, expected numbers (or R, U, X, X+0.2)"
        ) from None
