"""Prompts from a dynamicprompts template, a new draw for each picture.

dynamicprompts leaves what it does not know in the prompt; here that is an error, raised before
anything is drawn.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml
from dynamicprompts.commands import (
    Command,
    LiteralCommand,
    VariantCommand,
    VariantOption,
    WildcardCommand,
)
from dynamicprompts.enums import SamplingMethod
from dynamicprompts.parser.parse import parse
from dynamicprompts.samplers.random import RandomSampler
from dynamicprompts.sampling_context import SamplingContext
from dynamicprompts.sampling_result import SamplingResult
from dynamicprompts.wildcards import WildcardManager
from dynamicprompts.wildcards.collection import WildcardCollection
from dynamicprompts.wildcards.item import WildcardItem
from pyparsing import ParseBaseException

from ..errors import WildcardError
from ..files.text_file import read_text
from .prompt_bars import hold_bars, release_bars

SHIPPED = Path(__file__).parent / "wildcards"
_WILDCARD = re.compile(r"__([^\s{}$#(]+?)(?:\([^)]*\))?__")
_WEIGHTED = re.compile(r"([+-]?(?:\d+[.,]?\d*|[.,]\d+))\s*::\s*(.*)")
_BRACED = re.compile(r"(?<!\{)\{+\s*([\w/.-]+?)\s*\}+")
_COUNT = re.compile(r"(?<!\d)(\d+)\s*\$\$")
_SPECIAL = re.compile(r"[{}$_#%|~@\[\]]")
# Limits of a template: a draw takes about a millisecond for each part and each option, and cannot
# be cancelled meanwhile.
MOST_LETTERS = 10_000
MOST_OPTIONS = 500
MOST_CHOSEN = 100  # options that one `{n$$…}` may choose
MOST_PARTS = 1000  # of one drawn prompt
MOST_DEEP = 30  # wildcards within wildcards


class _Values(WildcardCollection):  # type: ignore[misc]
    """A wildcard's values, with weights in text files too: `3::red` is three times as likely.

    dynamicprompts reads weights in JSON and YAML only.  A text file is UTF-8, with or without a
    byte order mark; a line of weight 0 is never drawn.
    Raises: WildcardError, for another encoding, and when there is nothing to draw.
    """

    def __init__(self, collection: WildcardCollection) -> None:
        self.path: Path | None = getattr(collection, "_path", None)
        self._collection = collection

    def get_values(self) -> list[str | WildcardItem]:
        """The values, their `|` replaced as by `hold_bars`."""
        if self.path is None:
            items = [
                item if isinstance(item, WildcardItem) else WildcardItem(item)
                for item in self._collection.get_values()
            ]
        else:
            lines = (line.strip() for line in read_text(self.path, WildcardError).splitlines())
            items = [_item(line) for line in lines if line and not line.startswith("#")]
            if not any(item.weight for item in items):
                what = "only lines of weight 0" if items else "no line to draw"
                raise WildcardError(
                    f"{self.path}: found {what}, expected one value per line; add some, or remove"
                    " the wildcard from the template"
                )
        return [WildcardItem(hold_bars(item.content), item.weight) for item in items if item.weight]


def _item(line: str) -> WildcardItem:
    """A line of a text file.  Raises: WildcardError, for a negative or infinite weight."""
    weighted = _WEIGHTED.fullmatch(line)
    if weighted is None:
        return WildcardItem(line)
    weight = float(weighted[1].replace(",", "."))
    if not 0 <= weight < math.inf:
        raise WildcardError(
            f"found the weight {weighted[1][:20]} of {weighted[2][:80]!r}, expected 0 or more, such"
            " as 0.5::blue; fix that line of the wildcard's file"
        )
    return WildcardItem(weighted[2], weight)


class _Manager(WildcardManager):  # type: ignore[misc]
    """dynamicprompts' manager, with values read by `_Values`."""

    def match_collections(self, wildcard: str) -> list[WildcardCollection]:
        """The files of a name or a pattern."""
        return [_Values(collection) for collection in super().match_collections(wildcard)]


@dataclass(frozen=True)
class _Context(SamplingContext):  # type: ignore[misc]
    """A context that counts the parts of a prompt.

    A wildcard of two wildcards, each of two …, doubles the parts with every level.
    """

    parts: list[None] = field(default_factory=list)
    parsed: dict[str, Command] = field(default_factory=dict)
    """Commands by their text, which draws share: parsing takes nine tenths of a draw."""

    def sample_prompts(
        self, prompt: str | Command, num_prompts: int | None = None
    ) -> Iterable[SamplingResult]:
        """Overrides dynamicprompts', which parses the same text in every draw."""
        if isinstance(prompt, str) and prompt:
            if prompt not in self.parsed:
                self.parsed[prompt] = parse(prompt, parser_config=self.parser_config)
            prompt = self.parsed[prompt]
        results: Iterable[SamplingResult] = super().sample_prompts(prompt, num_prompts)
        return results

    def generator_from_command(self, command: Command) -> Iterator[Any]:
        """Overrides dynamicprompts'.  Raises: WildcardError, for a prompt of too many parts."""
        self.parts.append(None)
        if len(self.parts) > MOST_PARTS:
            raise WildcardError(
                f"template: found a prompt of more than {MOST_PARTS} parts, expected fewer; remove"
                " wildcards or variables that hold several others"
            )
        yield from super().generator_from_command(command)


class _Sampler(RandomSampler):  # type: ignore[misc]
    """dynamicprompts' sampler, with weights in `{2$$__x__}`: each value is one option.

    dynamicprompts weights by repeating a value a whole number of times there, so that `3::red`
    could be drawn as "red,red", and `0.3::blue` never.
    """

    def _get_variant(self, command: VariantCommand, context: SamplingContext) -> Iterator[Any]:
        only = command.values[0] if len(command.values) == 1 else None
        if isinstance(only, WildcardCommand):
            name = next(iter(context.sample_prompts(only.wildcard, 1))).text
            values = context.wildcard_manager.get_values(name)
            options = [
                VariantOption(_command(str(item), context), item.weight) for item in values.items
            ]
            if options:
                command = replace(command, variants=options)
        yield from super()._get_variant(command, context)


def _command(text: str, context: SamplingContext) -> Command:
    """A wildcard's value, parsed only if it must be: most are plain words.

    Parsing thousands would take minutes.
    """
    return (
        parse(text, parser_config=context.parser_config)
        if _SPECIAL.search(text)
        else LiteralCommand(text)
    )


def _check_extent(text: str) -> None:
    """Raises: WildcardError, for a text that would take minutes to parse."""
    chosen = max(
        (int(digits) if len(digits) < 10 else 10**9 for digits in _COUNT.findall(text)), default=0
    )
    for count, most, what in (
        (len(text), MOST_LETTERS, "letters"),
        (chosen, MOST_CHOSEN, "options to choose"),
        (text.count("|"), MOST_OPTIONS, "options"),
    ):
        if count > most:
            raise WildcardError(
                f"template: found {count} {what} in {text[:40]!r} …, expected at most {most}; put"
                " long lists into a wildcard file, one value per line"
            )


class WildcardPrompts:
    """Draws prompts from a template.

    folders: the user's wildcard folders; a name in them hides the shipped one.
    Raises: WildcardError, for an unknown wildcard, a mistaken `{{expression_wildcard}}`, a cycle,
        or a file that is empty or not UTF-8.
    """

    def __init__(self, template: str, folders: Iterable[Path] = ()) -> None:
        _check_extent(template)
        self.template = template
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._held = hold_bars(template)
        # Of equal names the last one counts.
        self._manager = _Manager(root_map={"": [SHIPPED, *self._folders]})
        self._checked: set[str] = set()
        self._parsed: dict[str, Command] = {}
        if not template.strip():
            raise WildcardError(
                "template: found nothing, expected a prompt such as '1girl, solo, __expression__'"
            )
        self.names = sorted(self._manager.get_collection_names())
        self._check_braces(template)
        self._check_wildcards(template, ())
        self.draw(0)

    def draw(self, seed: int) -> str:
        """The prompt of a seed; the same seed gives the same prompt.  Raises: WildcardError."""
        context = _Context(
            SamplingMethod.RANDOM, self._manager, rand=Random(seed), parsed=self._parsed
        )
        context.samplers[SamplingMethod.RANDOM] = _Sampler()
        try:
            prompt = release_bars(str(next(iter(context.sample_prompts(self._held, 1)))))
        except (
            ParseBaseException,
            ValueError,
            KeyError,
            RecursionError,
            StopIteration,
            IndexError,
        ) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise WildcardError(
                f"template: cannot be resolved ({reason}); check its braces and variables"
            ) from None
        return re.sub(r"\s*,(\s*,)+", ",", re.sub(r"\s+", " ", prompt)).strip(" ,")

    def _check_braces(self, template: str) -> None:
        for braced in _BRACED.finditer(template):
            word = braced.group(1).strip("_")
            name = word.removesuffix("_wildcard")
            if name != word or name in self.names:
                near = self._nearest(name)
                raise WildcardError(
                    f"template: found '{braced.group(0)}', which dynamicprompts takes literally; "
                    f"write '__{near or name}__'"
                )

    def _check_wildcards(self, text: str, chain: tuple[str, ...]) -> None:
        _check_extent(text)
        if len(chain) > MOST_DEEP:
            raise WildcardError(
                f"wildcard '{chain[-1]}': found it nested {len(chain)} deep, expected at most"
                f" {MOST_DEEP}"
            )
        for match in _WILDCARD.finditer(text):
            name = match.group(1).lstrip("~@")
            if name in chain:
                cycle = " → ".join((*chain[chain.index(name) :], name))
                raise WildcardError(
                    f"wildcard '{name}': found a cycle ({cycle}), expected none; remove one of them"
                )
            if name in self._checked:
                continue
            values = self._values(name)
            if not values:
                near = self._nearest(name)
                hint = f"did you mean '__{near}__'? " if near else ""
                broken = "".join(f"{sentence}. " for sentence in self._broken_files())
                raise WildcardError(
                    f"unknown wildcard '__{name}__'; {hint}{broken}Known wildcards:"
                    f" {', '.join(self.names)}"
                )
            for value in values:
                self._check_wildcards(value, (*chain, name))
            self._checked.add(name)

    def _values(self, name: str) -> list[str]:
        return [str(value) for value in self._manager.get_values(name).string_values]

    def _broken_files(self) -> list[str]:
        """What is wrong with the user's JSON and YAML files; dynamicprompts skips such a file."""
        sentences = []
        files = (path for folder in self._folders for path in folder.rglob("*"))
        for path in sorted(path for path in files if path.suffix in (".json", ".yaml")):
            try:
                text = path.read_text(encoding="utf-8")  # as dynamicprompts reads it
                json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
            except (OSError, ValueError, yaml.YAMLError) as error:
                reason = " ".join(str(error).split())[:80]
                sentences.append(f"{path.name} cannot be read ({reason})")
        return sentences

    def _nearest(self, name: str) -> str | None:
        return next(iter(difflib.get_close_matches(name, self.names, n=1, cutoff=0.0)), None)


def wildcard_folders(names: Iterable[str]) -> list[Path]:
    """The user's wildcard folders.  Raises: WildcardError, for one that does not exist."""
    folders = [Path(name).expanduser() for name in names]
    for folder in folders:
        if not folder.is_dir():
            raise WildcardError(
                f"regularization.wildcards: found no folder '{folder}', expected one with .txt"
                " files; check the path"
            )
    return folders
