r"""The WebUI's prompt language: comments, LoRA tags, AND, prompt editing, emphasis, BREAK.

    (x) ((x)) [x] (x:1.2)       more or less attention to x
    [a:b:0.5] [a:0.5] [a::0.5]  a, then b from that fraction of the steps (or from that step) on
    [a|b]                       a and b in turn, step by step
    x BREAK y                   y starts a new chunk of 75 tokens
    x AND y :0.5                both guide the picture, y with half the weight
    <lora:NAME:0.8>             a LoRA file at a strength
    \( \) \[ \] \\              the character itself
    # …                         a comment up to the end of the line

The rules are those of AUTOMATIC1111's WebUI 1.10.1, oddities included, so that a prompt draws the
same picture here and there.
Source: modules/prompt_parser.py, modules/extra_networks.py, modules/processing_scripts/comments.py.
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
ROUND_BRACKETS = 1.1  # the factor of attention of one pair; square brackets divide by it
DEEPEST = 60  # brackets within brackets; what is nested deeper is text

_ESCAPED = re.compile(r"\\([()\[\]\\])")
_SPECIAL = re.compile(r"[()\[\]\\]")
_EXTRA_NETWORK = re.compile(r"<(\w+):([^>]+)>")
_AND = re.compile(r"\bAND\b")
# (?<!\s): else each of many spaces is tried as the first, which takes quadratic time.
_AND_WEIGHT = re.compile(r"(?<!\s)\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*$")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\]")
_WEIGHT = re.compile(r":\s*([+-]?[.\d]+)\s*\)")
_BREAK = re.compile(rf"\b{BREAK}\b")

MOST_READINGS = 100  # alternatives of one bracket that are read
MOST_WEIGHED = 1_000_000  # pieces, each counted once for every bracket around it


# Tags in prompts


def escape(tag: str) -> str:
    r"""A tag with its brackets and backslashes escaped: `hat \(red\)`; what is escaped stays so."""
    return _SPECIAL.sub(lambda match: "\\" + match.group(), unescape(tag))


def unescape(text: str) -> str:
    """The text without the backslashes that escape brackets and backslashes."""
    return _ESCAPED.sub(r"\1", text)


def prompt_of(tags: Iterable[str]) -> str:
    """The prompt that asks for these tags and nothing else."""
    prompt = join_tags(escape(tag) for tag in tags)
    # ":3" at the end would be the weight of the whole prompt.
    return f"{prompt}," if _AND_WEIGHT.search(prompt) else prompt


def tags_of(prompt: str) -> list[str]:
    """The tags that a prompt asks for, without its syntax; prompt editing counts with all phases.

    Raises: SettingsError, as `emphasized` does.
    """
    text, _ = without_extra_networks(without_comments(prompt))
    tags = []
    for part, _ in split_at_and(text):
        for reading in _readings(part):
            tags += split_tags(
                "".join(
                    "," if weight == BREAK_WEIGHT and piece == BREAK else piece
                    for piece, weight in emphasized(reading)
                )
            )
    return list(dict.fromkeys(tags))


# What is removed before the prompt is read


@dataclass(frozen=True)
class ExtraNetwork:
    """A `<kind:…>` of a prompt.

    values: the positional arguments.
    named: the arguments written `key=value`.
    """

    kind: str
    values: tuple[str, ...]
    named: dict[str, str]


def without_comments(prompt: str) -> str:
    """The prompt without `# …`."""
    return re.sub(r"#[^\n]*(\n|$)", "\n", re.sub(r"(^|\n)#[^\n]*(\n|$)", "\n", prompt))


def without_extra_networks(prompt: str) -> tuple[str, list[ExtraNetwork]]:
    """The prompt without `<lora:…>` and other extra networks, and these."""
    networks: list[ExtraNetwork] = []

    def take(match: re.Match[str]) -> str:
        pieces = [piece.partition("=") for piece in match.group(2).split(":")]
        networks.append(
            ExtraNetwork(
                match.group(1),
                tuple(name for name, equals, _ in pieces if not equals),
                {name: value for name, equals, value in pieces if equals},
            )
        )
        return ""

    return _EXTRA_NETWORK.sub(take, prompt), networks


def split_at_and(prompt: str) -> list[tuple[str, float]]:
    """The prompts between AND with their weights; a single prompt may have a weight too."""
    parts = []
    for part in _AND.split(prompt):
        weight = _AND_WEIGHT.search(part)
        if weight:
            parts.append((part[: weight.start()], float(weight.group(1))))
        else:
            parts.append((part.rstrip(), 1.0))
    return parts


# Prompt editing


@dataclass(frozen=True)
class _Edited:
    """`[before:after:when]`; `when` is a step, or a fraction of the steps if it has a point."""

    before: Sequence[_Node]
    after: Sequence[_Node]
    when: str

    def step(self, steps: int) -> int:
        """The last step that shows `before`, counted from 1."""
        value = float(self.when)
        # A huge exponent gives infinity, which is no step.
        return int(max(-1.0, min(float(steps), value * steps if "." in self.when else value)))


@dataclass(frozen=True)
class _Alternating:
    """`[a|b|…]`: one option per step, in turn."""

    options: Sequence[Sequence[_Node]]


_Node: TypeAlias = "str | _Edited | _Alternating"


class _NotEdited(Exception):
    """The text does not follow the grammar; the WebUI then edits nothing in it."""


class _Parser:
    """A parser of prompt editing.

    What fits no rule is text, but a lone `|` or a trailing backslash makes all of it text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.unfit: set[int] = set()  # where an unclosed bracket opens: never tried twice

    def parse(self) -> list[_Node]:
        nodes: list[_Node] = []
        position = 0
        while position < len(self.text):
            more, position = self._sequence(position, 0)
            nodes += more
            if position < len(self.text):
                if self.text[position] in "|\\":
                    raise _NotEdited
                nodes.append(self.text[position])  # a stray bracket or colon
                position += 1
        return nodes

    def _sequence(self, position: int, depth: int) -> tuple[list[_Node], int]:
        """Nodes up to a character that this sequence cannot hold, and its position."""
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
        group = read(position, depth)
        if group is None:
            self.unfit.add(position)
        return group

    def _sign(self, position: int) -> str:
        return self.text[position : position + 1]

    def _round(self, position: int, depth: int) -> tuple[list[_Node], int] | None:
        """`(x)` and `(x:y)` as text, with the editing inside them parsed."""
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
            return ([_Alternating(options)], end + 1) if self._sign(end) == "]" else None
        if self._sign(end) != ":":
            return None
        if number := _NUMBER.match(self.text, end + 1):
            return [_Edited((), first, number.group(1))], number.end()
        second, end = self._sequence(end + 1, depth)
        number = _NUMBER.match(self.text, end + 1) if self._sign(end) == ":" else None
        return ([_Edited(first, second, number.group(1))], number.end()) if number else None


def schedule(prompt: str, steps: int) -> list[tuple[int, str]]:
    """(last step, text) of each phase of a prompt, steps counted from 1.

    A prompt without prompt editing has one phase.
    """
    try:
        nodes = _Parser(prompt).parse()
    except _NotEdited:
        return [(steps, prompt)]
    return [(step, _text(nodes, step, steps)) for step in sorted(_changes(nodes, steps) | {steps})]


def _readings(prompt: str) -> list[str]:
    """Texts that together hold everything that a prompt shows at some step."""
    try:
        return _alternatives(_Parser(prompt).parse())
    except _NotEdited:
        return [prompt]


def _alternatives(nodes: Sequence[_Node]) -> list[str]:
    """As many readings as the node with the most alternatives has."""
    by_node: list[list[str]] = []
    for node in nodes:
        if isinstance(node, str):
            by_node.append([node])
        else:
            parts = node.options if isinstance(node, _Alternating) else (node.before, node.after)
            texts = [text for part in parts for text in _alternatives(part)]
            by_node.append(texts[:MOST_READINGS])
    count = max(map(len, by_node), default=1)
    return [
        "".join(texts[min(number, len(texts) - 1)] for texts in by_node) for number in range(count)
    ]


def phase_at(phases: Sequence[tuple[int, str]], index: int) -> int:
    """The number of the phase that a step shows.

    index: of the step, from 0.  The WebUI compares it with steps counted from 1, so the first phase
        lasts a step longer than it says.
    """
    return next((number for number, (end, _) in enumerate(phases) if index <= end), 0)


def _changes(nodes: Sequence[_Node], steps: int) -> set[int]:
    """The steps, from 1, after which the text changes."""
    changes: set[int] = set()
    for node in nodes:
        if isinstance(node, _Edited):
            if (step := node.step(steps)) >= 1:
                changes.add(step)
            changes |= _changes(node.before, steps) | _changes(node.after, steps)
        elif isinstance(node, _Alternating):
            changes |= set(range(1, steps + 1))
    return changes


def _text(nodes: Sequence[_Node], step: int, steps: int) -> str:
    """The text that a step shows."""
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


def emphasized(text: str) -> list[tuple[str, float]]:
    """The pieces of a text with their weights; a piece BREAK with BREAK_WEIGHT ends a chunk.

    Raises: SettingsError, for a weight that is no number, and for thousands of nested brackets.
    """
    pieces: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    weighed = 0

    def multiply(start: int, factor: float) -> None:
        nonlocal weighed
        weighed += len(pieces) - start
        if weighed > MOST_WEIGHED:
            raise SettingsError(
                f"prompt: found thousands of nested brackets in {text[:40]!r} …, expected fewer;"
                " remove some, or write \\( and \\[ for those that are meant literally"
            )
        pieces[start:] = [(piece, weight * factor) for piece, weight in pieces[start:]]

    position = 0
    while position < len(text):
        sign = text[position]
        end = position + 1
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
            multiply(opened["("].pop(), ROUND_BRACKETS)
        elif sign == "]" and opened["["]:
            multiply(opened["["].pop(), 1 / ROUND_BRACKETS)
        else:
            if closing:
                end = closing.end()
            elif sign not in ")]:":
                while end < len(text) and text[end] not in "\\()[]:":
                    end += 1
            parts = _BREAK.split(text[position:end])
            for number, part in enumerate(parts):
                # The spaces around BREAK belong to it; in its pattern they would take quadratic
                # time.
                if number:
                    pieces.append((BREAK, BREAK_WEIGHT))
                    part = part.lstrip()
                pieces.append((part if number == len(parts) - 1 else part.rstrip(), 1.0))
        position = end
    for start in opened["("]:
        multiply(start, ROUND_BRACKETS)
    for start in opened["["]:
        multiply(start, 1 / ROUND_BRACKETS)
    return _joined(pieces)


def _number(text: str, shown: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            f"prompt: found the weight {shown!r}, expected a number such as (word:1.2)"
        ) from None


def _joined(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The pieces with neighbours of one weight joined: they are tokenized as one text."""
    joined: list[tuple[str, float]] = []
    for piece, weight in pieces:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + piece, weight)
        else:
            joined.append((piece, weight))
    return joined or [("", 1.0)]
