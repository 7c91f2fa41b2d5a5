r"""The prompt language of the WebUI, as text: comments, LoRA tags, AND, prompt editing, emphasis, BREAK.

    (x) ((x)) [x] (x:1.2)       more or less attention to x
    [a:b:0.5] [a:0.5] [a::0.5]  a, then b, from that share of the steps (or from that step) on
    [a|b]                       a and b in turn, step by step
    x BREAK y                   y starts a new chunk of 75 tokens
    x AND y :0.5                both guide the picture, y with half the weight
    <lora:NAME:0.8>             a LoRA file at a strength
    \( \) \[ \] \\              the sign itself
    # …                         a comment up to the end of the line

The rules are those of AUTOMATIC1111's WebUI 1.10.1 (modules/prompt_parser.py, extra_networks.py and
processing_scripts/comments.py), oddities included, so that a prompt draws the same picture here and there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import SettingsError
from .text import join_tags, split_tags

BREAK = "BREAK"
BREAK_WEIGHT = -1.0
MORE = 1.1  # what a pair of round brackets multiplies attention by
DEEPEST = 60  # brackets within brackets; what lies deeper is taken as it stands

_ESCAPED = re.compile(r"\\([()\[\]\\])")
_SPECIAL = re.compile(r"[()\[\]\\]")
_EXTRA_NETWORK = re.compile(r"<(\w+):([^>]+)>")
_AND = re.compile(r"\bAND\b")
# (?<!\s): else each of many spaces is tried as the first, with the square of their number in steps.
_AND_WEIGHT = re.compile(r"(?<!\s)\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*$")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\]")
_WEIGHT = re.compile(r":\s*([+-]?[.\d]+)\s*\)")
_BREAK = re.compile(rf"\b{BREAK}\b")

MOST_READINGS = 100  # alternatives of one bracket that are looked at
MOST_WEIGHED = 1_000_000  # pieces, each counted as often as a bracket holds it


# Tags in prompts
# ------------------------------------------------------------------------------------


def escape(tag: str) -> str:
    """A tag as it must stand in a prompt to mean itself: `hat \\(red\\)`; what is escaped stays so."""
    return _SPECIAL.sub(lambda found: "\\" + found.group(), unescape(tag))


def unescape(text: str) -> str:
    """Text without the backslashes that make brackets mean themselves."""
    return _ESCAPED.sub(r"\1", text)


def prompt_of(tags: Iterable[str]) -> str:
    """A prompt that asks for these tags and nothing else."""
    prompt = join_tags(escape(tag) for tag in tags)
    # ":3" at the end would be the weight of the whole prompt.
    return f"{prompt}," if _AND_WEIGHT.search(prompt) else prompt


def tags_of(prompt: str) -> list[str]:
    """The tags that a prompt asks for, without the marks of the language; of an edited part, all of
    it.
    """
    text, _ = without_extra_networks(without_comments(prompt))
    found = []
    for part, _ in split_at_and(text):
        for shown in _readings(part):
            found += split_tags(
                "".join(
                    "," if weight == BREAK_WEIGHT and piece == BREAK else piece
                    for piece, weight in emphasized(shown)
                )
            )
    return list(dict.fromkeys(found))


# What is taken out first
# ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ExtraNetwork:
    """A `<kind:…>` of a prompt.  values: those by position.  named: those written `key=value`."""

    kind: str
    values: tuple[str, ...]
    named: dict[str, str]


def without_comments(prompt: str) -> str:
    """The prompt without `# …`; source: the WebUI's processing_scripts/comments.py."""
    return re.sub(r"#[^\n]*(\n|$)", "\n", re.sub(r"(^|\n)#[^\n]*(\n|$)", "\n", prompt))


def without_extra_networks(prompt: str) -> tuple[str, list[ExtraNetwork]]:
    """The prompt without `<lora:…>` and its like, and these."""
    found: list[ExtraNetwork] = []

    def take(match: re.Match[str]) -> str:
        pieces = [piece.partition("=") for piece in match.group(2).split(":")]
        found.append(
            ExtraNetwork(
                match.group(1),
                tuple(name for name, equals, _ in pieces if not equals),
                {name: value for name, equals, value in pieces if equals},
            )
        )
        return ""

    return _EXTRA_NETWORK.sub(take, prompt), found


def split_at_and(prompt: str) -> list[tuple[str, float]]:
    """The prompts between AND with their weights; one prompt alone may have a weight too."""
    parts = []
    for part in _AND.split(prompt):
        found = _AND_WEIGHT.search(part)
        parts.append(
            (part[: found.start()], float(found.group(1))) if found else (part.rstrip(), 1.0)
        )
    return parts


# Prompt editing
# -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Edited:
    """`[before:after:when]`; when is a step, or with a point in it a share of the steps."""

    before: Sequence[_Node]
    after: Sequence[_Node]
    when: str

    def step(self, steps: int) -> int:
        """The last step that shows what was before, counted from 1."""
        value = float(self.when)
        # A huge exponent gives infinity, which is no step.
        return int(max(-1.0, min(float(steps), value * steps if "." in self.when else value)))


@dataclass(frozen=True)
class _InTurn:
    """`[a|b|…]`."""

    options: Sequence[Sequence[_Node]]


_Node: TypeAlias = "str | _Edited | _InTurn"


class _NotEdited(Exception):
    """The text cannot be read as the grammar wants it; the WebUI then edits nothing in it."""


class _Parser:
    """Reads prompt editing; what fits no rule is text, but a lone `|` or a backslash at the end
    undoes all.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.unfit: set[int] = set()  # where a bracket opens that nothing closes: never tried twice

    def parse(self) -> list[_Node]:
        nodes: list[_Node] = []
        position = 0
        while position < len(self.text):
            more, position = self._sequence(position, 0)
            nodes += more
            if position < len(self.text):
                if self.text[position] in "|\\":
                    raise _NotEdited
                nodes.append(self.text[position])  # A bracket or colon that belongs to nothing.
                position += 1
        return nodes

    def _sequence(self, position: int, depth: int) -> tuple[list[_Node], int]:
        """Nodes up to a sign that this sequence cannot hold, and its position."""
        nodes: list[_Node] = []
        while position < len(self.text):
            sign = self.text[position]
            if sign in "([":
                group = self._group(position, depth + 1)
                if group is None:
                    break
                nodes += group[0]
                position = group[1]
            elif sign == "\\":
                if not re.match(r"\\.", self.text[position : position + 2]):
                    break
                nodes.append(self.text[position : position + 2])
                position += 2
            elif sign in ")]:|":
                break
            else:
                end = position
                while end < len(self.text) and self.text[end] not in "()[]:|\\":
                    end += 1
                nodes.append(self.text[position:end])
                position = end
        return nodes, position

    def _group(self, position: int, depth: int) -> tuple[list[_Node], int] | None:
        if position in self.unfit or depth > DEEPEST:
            return None
        read = self._round if self.text[position] == "(" else self._square
        found = read(position, depth)
        if found is None:
            self.unfit.add(position)
        return found

    def _sign(self, position: int) -> str:
        return self.text[position : position + 1]

    def _round(self, position: int, depth: int) -> tuple[list[_Node], int] | None:
        """`(x)` and `(x:y)` stay as they are; what is edited inside is."""
        first, end = self._sequence(position + 1, depth)
        nodes: list[_Node] = ["(", *first]
        if self._sign(end) == ":":
            second, end = self._sequence(end + 1, depth)
            nodes += [":", *second]
        return ([*nodes, ")"], end + 1) if self._sign(end) == ")" else None

    def _square(self, position: int, depth: int) -> tuple[list[_Node], int] | None:
        first, end = self._sequence(position + 1, depth)
        if self._sign(end) == "]":
            return ["[", *first, "]"], end + 1
        if self._sign(end) == "|":
            options = [first]
            while self._sign(end) == "|":
                option, end = self._sequence(end + 1, depth)
                options.append(option)
            return ([_InTurn(options)], end + 1) if self._sign(end) == "]" else None
        if self._sign(end) != ":":
            return None
        if number := _NUMBER.match(self.text, end + 1):
            return [_Edited((), first, number.group(1))], number.end()
        second, end = self._sequence(end + 1, depth)
        number = _NUMBER.match(self.text, end + 1) if self._sign(end) == ":" else None
        return ([_Edited(first, second, number.group(1))], number.end()) if number else None


def schedule(prompt: str, steps: int) -> list[tuple[int, str]]:
    """(last step, text) of each phase of a prompt, steps counted from 1; one phase where nothing is
    edited.
    """
    try:
        nodes = _Parser(prompt).parse()
    except _NotEdited:
        return [(steps, prompt)]
    return [(step, _text(nodes, step, steps)) for step in sorted(_changes(nodes, steps) | {steps})]


def _readings(prompt: str) -> list[str]:
    """Texts that together show all of a prompt, whenever a picture of however many steps would show
    it.
    """
    try:
        return _alternatives(_Parser(prompt).parse())
    except _NotEdited:
        return [prompt]


def _alternatives(nodes: Sequence[_Node]) -> list[str]:
    each: list[list[str]] = []
    for node in nodes:
        if isinstance(node, str):
            each.append([node])
        else:
            parts = node.options if isinstance(node, _InTurn) else (node.before, node.after)
            each.append([text for part in parts for text in _alternatives(part)][:MOST_READINGS])
    count = max(map(len, each), default=1)
    return [
        "".join(texts[min(number, len(texts) - 1)] for texts in each) for number in range(count)
    ]


def phase_at(phases: Sequence[tuple[int, str]], index: int) -> int:
    """Which phase a step shows; index: of the step, from 0.

    The WebUI compares this index with steps counted from 1, so the first phase lasts a step longer
    than it says.
    """
    return next((number for number, (end, _) in enumerate(phases) if index <= end), 0)


def _changes(nodes: Sequence[_Node], steps: int) -> set[int]:
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, _Edited):
            found |= {step for step in (node.step(steps),) if step >= 1}
            found |= _changes(node.before, steps) | _changes(node.after, steps)
        elif isinstance(node, _InTurn):
            found |= set(range(1, steps + 1))
    return found


def _text(nodes: Sequence[_Node], step: int, steps: int) -> str:
    pieces = []
    for node in nodes:
        if isinstance(node, str):
            pieces.append(node)
        elif isinstance(node, _Edited):
            pieces.append(
                _text(node.before if step <= node.step(steps) else node.after, step, steps)
            )
        else:
            pieces.append(_text(node.options[(step - 1) % len(node.options)], step, steps))
    return "".join(pieces)


# Emphasis
# -------------------------------------------------------------------------------------------


def emphasized(text: str) -> list[tuple[str, float]]:
    """The pieces of a text with their weights; a piece BREAK with BREAK_WEIGHT ends a chunk.

    Raises: SettingsError, for a weight that is no number, and for more brackets than a prompt has.
    """
    pieces: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    weighed = 0

    def multiply(start: int, factor: float) -> None:
        nonlocal weighed
        weighed += len(pieces) - start
        if weighed > MOST_WEIGHED:
            raise SettingsError(
                f"prompt: found thousands of brackets in brackets in {text[:40]!r} …, expected"
                " fewer; take some out, or write \\( and \\[ for those that are meant as letters"
            )
        pieces[start:] = [(piece, weight * factor) for piece, weight in pieces[start:]]

    position = 0
    while position < len(text):
        sign, end = text[position], position + 1
        closing = _WEIGHT.match(text, position) if sign == ":" else None
        if sign == "\\":
            end += text[end : end + 1] in tuple("()[]\\")
            pieces.append((text[position + 1 : end], 1.0))
        elif sign in "([":
            opened[sign].append(len(pieces))
        elif closing and opened["("]:
            end = closing.end()
            multiply(opened["("].pop(), _number(closing.group(1), closing.group()))
        elif sign == ")" and opened["("]:
            multiply(opened["("].pop(), MORE)
        elif sign == "]" and opened["["]:
            multiply(opened["["].pop(), 1 / MORE)
        else:
            if closing:
                end = closing.end()
            elif sign not in ")]:":
                while end < len(text) and text[end] not in "\\()[]:":
                    end += 1
            parts = _BREAK.split(text[position:end])
            for number, part in enumerate(parts):
                # The spaces around the word belong to it; searched for with it, they would take
                # time squared.
                if number:
                    pieces.append((BREAK, BREAK_WEIGHT))
                    part = part.lstrip()
                pieces.append((part if number == len(parts) - 1 else part.rstrip(), 1.0))
        position = end
    for start in opened["("]:
        multiply(start, MORE)
    for start in opened["["]:
        multiply(start, 1 / MORE)
    return _joined(pieces)


def _number(text: str, shown: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            f"prompt: found the weight {shown!r}, expected a number such as (word:1.2)"
        ) from None


def _joined(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Neighbours of one weight together: they are tokenized as one text."""
    joined: list[tuple[str, float]] = []
    for piece, weight in pieces:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + piece, weight)
        else:
            joined.append((piece, weight))
    return joined or [("", 1.0)]
