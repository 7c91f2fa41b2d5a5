"""The `|` in prompts.

It separates prompts, or alternatives within brackets, or is part of a tag such as `:|`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .text import KAOMOJI

_PAIRS = {")": "(", "]": "[", "}": "{"}
_FACES = sorted(
    (face for face in (*KAOMOJI, ":|", ":-|", ";|", "=|", "\\||/") if "|" in face),
    key=len,
    reverse=True,
)
# A face is a tag of its own: it begins after a space, a comma, a bracket or another bar, and ends
# before one or a weight.
_BEFORE = r"(?<![^\s,|({\[])"
_AFTER = r"(?=[\s,|)}\]]|:[\d.]|$)"
_FACE = re.compile(_BEFORE + "(?:" + "|".join(map(re.escape, _FACES)) + ")" + _AFTER)
# The brackets in these faces open and close nothing.
_BRACKET_FACE = re.compile(r"(?<![^\s,|])[:;=][-']?[()\[\]{}](?=[\s,|]|$)")
# Stands for a `|` that dynamicprompts must not see; private use, so that no prompt has it.
_HELD = "\ue000"


def split_prompts(text: str) -> list[str]:
    """The prompts that `|` separates.

    Within brackets (`{a|b}`, `[a|b]`) and in a face such as `:|` it belongs to the prompt, and
    `\\|` is a `|` anywhere.
    """
    pieces = []
    start = 0
    for place, inside in _bars(text):
        if not inside:
            pieces.append(text[start:place])
            start = place + 1
    pieces.append(text[start:])
    return [plain for piece in pieces if (plain := _unescaped(piece).strip())]


def hold_bars(template: str) -> str:
    """The template with every `|` replaced that separates no variants.

    Without that dynamicprompts would split at the `|` of `:|` and `[a|b]`.
    """
    held = list(template)
    for place, inside in _bars(template):
        if inside == "[" or inside in ("face", "escaped"):
            held[place] = _HELD
            if inside == "escaped":
                held[place - 1] = ""
    return "".join(held)


def release_bars(prompt: str) -> str:
    """A drawn prompt with its `|` restored."""
    return prompt.replace(_HELD, "|")


def _bars(text: str) -> Iterator[tuple[int, str]]:
    """(position, what it stands in) of each `|`: '', the bracket around it, 'face' or 'escaped'."""
    faces = _covered(_FACE, text)
    around = _brackets(text, faces | _covered(_BRACKET_FACE, text))
    for place, letter in enumerate(text):
        if letter != "|":
            continue
        if place in faces:
            yield place, "face"
        elif place and text[place - 1] == "\\":
            yield place, "escaped"
        else:
            yield place, around[place]


def _covered(pattern: re.Pattern[str], text: str) -> set[int]:
    """Every position that a match of the pattern covers."""
    return {place for match in pattern.finditer(text) for place in range(*match.span())}


def _brackets(text: str, loose: set[int]) -> list[str]:
    """The innermost bracket around each letter, '' for none.

    loose: positions of brackets that are letters; so is one without its partner.
    """
    ends: dict[int, int] = {}
    opened: list[int] = []
    waiting = dict.fromkeys("([{", 0)
    for place, letter in enumerate(text):
        if place in loose or (place and text[place - 1] == "\\"):
            continue
        if letter in "([{":
            opened.append(place)
            waiting[letter] += 1
        elif letter in _PAIRS and waiting[_PAIRS[letter]]:
            # What opened later and was not closed is dropped, so that no letter is looked at twice.
            while text[opening := opened.pop()] != _PAIRS[letter]:
                waiting[text[opening]] -= 1
            waiting[text[opening]] -= 1
            ends[opening] = place
    around = []
    inside: list[int] = []
    for place in range(len(text)):
        if inside and ends[inside[-1]] == place:
            inside.pop()
        around.append(text[inside[-1]] if inside else "")
        if place in ends:
            inside.append(place)
    return around


def _unescaped(prompt: str) -> str:
    """The prompt with `\\|` as `|`, except in the face `\\||/`."""
    faces = _covered(_FACE, prompt)
    return "".join(
        letter
        for place, letter in enumerate(prompt)
        if letter != "\\" or place in faces or prompt[place + 1 : place + 2] != "|"
    )
