"""Prompts from a dynamicprompts template, one new draw for each picture.

dynamicprompts leaves what it does not know in the prompt as it is; here that is an error, told
before any drawing.
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
# A draw takes about a millisecond for each part and each option, and cannot be cancelled meanwhile.
MOST_LETTERS, MOST_OPTIONS, MOST_CHOSEN, MOST_PARTS, MOST_DEEP = 10_000, 500, 100, 1000, 30


class _Values(WildcardCollection):  # type: ignore[misc]
    """A wildcard's values as people write them: UTF-8 with or without a mark, `3::red` three times
    as often as `blue`.

    dynamicprompts reads weights in JSON and YAML, not in text files.  A line of weight 0 is never
    drawn.
    Raises: WildcardError, for another encoding, and when there is nothing to draw.
    """

    def __init__(self, given: WildcardCollection) -> None:
        self.path: Path | None = getattr(given, "_path", None)
        self._given = given

    def get_values(self) -> list[str | WildcardItem]:
        """The values, held as `hold_bars` does."""
        if self.path is None:
            items = [
                item if isinstance(item, WildcardItem) else WildcardItem(item)
                for item in self._given.get_values()
            ]
        else:
            lines = (line.strip() for line in read_text(self.path, WildcardError).splitlines())
            items = [_item(line) for line in lines if line and not line.startswith("#")]
            if not any(item.weight for item in items):
                what = "lines whose weights are all 0" if items else "no line to draw"
                raise WildcardError(
                    f"{self.path}: found {what}, expected one value a line; write some, or take the"
                    " wildcard out of the template"
                )
        return [WildcardItem(hold_bars(item.content), item.weight) for item in items if item.weight]


def _item(line: str) -> WildcardItem:
    weighted = _WEIGHTED.fullmatch(line)
    if weighted is None:
        return WildcardItem(line)
    weight = float(weighted[1].replace(",", "."))
    if not 0 <= weight < math.inf:
        raise WildcardError(
            f"found the weight {weighted[1][:20]} of {weighted[2][:80]!r}, expected one of 0 or"
            " more, such as 0.5::blue; mend that line of the wildcard's file"
        )
    return WildcardItem(weighted[2], weight)


class _Manager(WildcardManager):  # type: ignore[misc]
    """dynamicprompts' manager, over values that are read as above."""

    def match_collections(self, wildcard: str) -> list[WildcardCollection]:
        """The files of a name or a pattern."""
        return [_Values(found) for found in super().match_collections(wildcard)]


@dataclass(frozen=True)
class _Context(SamplingContext):  # type: ignore[misc]
    """Counts the parts of a prompt: a wildcard of two wildcards, each of two … doubles with every
    line.
    """

    parts: list[None] = field(default_factory=list)

    def generator_from_command(self, command: Command) -> Iterator[Any]:
        """As dynamicprompts'.  Raises: WildcardError, for a prompt of too many parts."""
        self.parts.append(None)
        if len(self.parts) > MOST_PARTS:
            raise WildcardError(
                f"template: found a prompt of more than {MOST_PARTS} parts, expected fewer; take"
                " out wildcards or variables that hold several others"
            )
        yield from super().generator_from_command(command)


class _Sampler(RandomSampler):  # type: ignore[misc]
    """dynamicprompts' sampler, which in `{2$$__x__}` counts weights by repeating a value, cut to
    whole numbers.

    There 3::red could be drawn as 'red,red', and 0.3::blue never; here each value is one option
    with its weight.
    """

    def _get_variant(self, command: VariantCommand, context: SamplingContext) -> Iterator[Any]:
        only = command.values[0] if len(command.values) == 1 else None
        if isinstance(only, WildcardCommand):
            name = next(iter(context.sample_prompts(only.wildcard, 1))).text
            found = context.wildcard_manager.get_values(name)
            options = [
                VariantOption(_command(str(item), context), item.weight) for item in found.items
            ]
            if options:
                command = replace(command, variants=options)
        yield from super()._get_variant(command, context)


def _command(text: str, context: SamplingContext) -> Command:
    """The value of a wildcard; most are plain words, and parsing thousands would take minutes."""
    return (
        parse(text, parser_config=context.parser_config)
        if _SPECIAL.search(text)
        else LiteralCommand(text)
    )


def _check_extent(text: str) -> None:
    """Raises: WildcardError, for what would take minutes to take apart."""
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
                f"template: found {count} {what} in {text[:40]!r} …, expected {most} at most; put"
                " long lists into a wildcard file, one value a line"
            )


class WildcardPrompts:
    """Draws prompts from a template.

    folders: the user's own wildcard folders; a name that they have hides the shipped one.
    Raises: WildcardError, for an unknown wildcard, a mistaken `{{expression_wildcard}}`, a cycle,
    or a file that is empty or not UTF-8.
    """

    def __init__(self, template: str, folders: Iterable[Path] = ()) -> None:
        _check_extent(template)
        self.template = template
        own = [folder for folder in folders if folder.is_dir()]
        self._own, self._held = own, hold_bars(template)
        # Of equal names the last one counts.
        self._manager = _Manager(root_map={"": [SHIPPED, *own]})
        self._checked: set[str] = set()
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
        context = _Context(SamplingMethod.RANDOM, self._manager, rand=Random(seed))
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
        for found in _BRACED.finditer(template):
            word = found.group(1).strip("_")
            name = word.removesuffix("_wildcard")
            if name != word or name in self.names:
                near = self._nearest(name)
                raise WildcardError(
                    f"template: found '{found.group(0)}', which dynamicprompts takes literally; "
                    f"write '__{near or name}__'"
                ) from None

    def _check_wildcards(self, text: str, chain: tuple[str, ...]) -> None:
        _check_extent(text)
        if len(chain) > MOST_DEEP:
            raise WildcardError(
                f"wildcard '{chain[-1]}': found it {len(chain)} wildcards deep, expected"
                f" {MOST_DEEP} at most"
            )
        for found in _WILDCARD.finditer(text):
            name = found.group(1).lstrip("~@")
            if name in chain:
                way = " → ".join((*chain[chain.index(name) :], name))
                raise WildcardError(
                    f"wildcard '{name}': found a cycle ({way}), expected an end; take one of"
                    " them out"
                )
            if name in self._checked:
                continue
            values = self._values(name)
            if not values:
                near = self._nearest(name)
                meant = f"did you mean '__{near}__'? " if near else ""
                broken = "".join(f"{sentence}. " for sentence in self._broken())
                raise WildcardError(
                    f"unknown wildcard '__{name}__'; {meant}{broken}There are:"
                    f" {', '.join(self.names)}"
                )
            for value in values:
                self._check_wildcards(value, (*chain, name))
            self._checked.add(name)

    def _values(self, name: str) -> list[str]:
        return [str(value) for value in self._manager.get_values(name).string_values]

    def _broken(self) -> list[str]:
        """What is wrong with the user's JSON and YAML files; dynamicprompts leaves such a file out."""
        found = []
        for path in sorted(
            path
            for folder in self._own
            for path in folder.rglob("*")
            if path.suffix in (".json", ".yaml")
        ):
            try:
                text = path.read_text(encoding="utf-8")  # as dynamicprompts reads it
                json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
            except (OSError, ValueError, yaml.YAMLError) as error:
                found.append(f"{path.name} cannot be read ({' '.join(str(error).split())[:80]})")
        return found

    def _nearest(self, name: str) -> str | None:
        found = difflib.get_close_matches(name, self.names, n=1, cutoff=0.0)
        return found[0] if found else None


def wildcard_folders(names: Iterable[str]) -> list[Path]:
    """The user's own folders.  Raises: WildcardError, for one that is not there."""
    found = [Path(name).expanduser() for name in names]
    for folder in found:
        if not folder.is_dir():
            raise WildcardError(
                f"regularization.wildcards: found no folder '{folder}', expected one with .txt"
                " files; check the path"
            )
    return found
