"""The axes of a sheet: what is varied, which combinations there are, and in which table, row and
column each lies.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..captions.text import join_tags, split_tags
from ..errors import SettingsError
from ..settings.declare import split_list

# In the order of drawing: what changes the model most changes least often.
LORA_AXES = ("epoch", "preset", "strength", "refine")
BESIDE = (
    "checkpoint",
    "clip_skip",
    "negative_prompt",
    "prompt",
    "search_replace",
    "cfg_scale",
    "sampler",
    "seed",
)
LABEL_PREFIXES = {
    "preset": "Blocks: ",
    "cfg_scale": "CFG ",
    "clip_skip": "clip skip ",
    "seed": "seed ",
    "epoch": "epoch ",
    "strength": "strength ",
    "refine": "redrawn at ",
    "negative_prompt": "without: ",
}

Spot = tuple[int, ...]  # the place of a value in each dimension


@dataclass(frozen=True)
class Dimension:
    """One thing that may vary.  labels: what is written at its values."""

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One table of the sheet.  spots: by row and column."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    spots: tuple[tuple[Spot, ...], ...]


def make_dimension(name: str, values: Sequence[Any], labels: Sequence[str] = ()) -> Dimension:
    """A dimension whose labels are its values behind a word."""
    own = labels or [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return Dimension(
        name, tuple(values), tuple(f"{LABEL_PREFIXES.get(name, '')}{label}" for label in own)
    )


def all_spots(dimensions: Sequence[Dimension]) -> Iterator[Spot]:
    """Every combination; the last dimension changes first."""
    return product(*(range(len(each.values)) for each in dimensions))


def values_at(dimensions: Sequence[Dimension], spot: Spot) -> dict[str, Any]:
    """The value of each dimension at a spot, by its name."""
    return {each.name: each.values[index] for each, index in zip(dimensions, spot, strict=True)}


def lay_out_tables(dimensions: Sequence[Dimension], x: str, y: str, z: str) -> list[Table]:
    """The sheet's tables: x goes across, y down; z, and whatever else has several values, from
    table to table.

    Raises: SettingsError, for one name on two axes.
    """
    chosen = [name for name in (x, y, z) if name != "none"]
    for name in chosen:
        if chosen.count(name) > 1:
            raise SettingsError(
                f"plot.x, plot.y, plot.z: found '{name}' on two of them, expected different axes;"
                " 'none' leaves one empty"
            )
    by_name = {each.name: each for each in dimensions}
    across, down = by_name.get(x), by_name.get(y)
    rest = [
        each for each in dimensions if each.name == z and each is not across and each is not down
    ]
    rest += [each for each in dimensions if each.name not in chosen and len(each.values) > 1]
    found = []
    for at in product(*(range(len(each.values)) for each in rest)):
        title = " · ".join(each.labels[index] for each, index in zip(rest, at, strict=True))
        fixed = {each.name: index for each, index in zip(rest, at, strict=True)}
        rows = tuple(
            tuple(
                tuple({**fixed, x: column, y: row}.get(each.name, 0) for each in dimensions)
                for column in range(_length(across))
            )
            for row in range(_length(down))
        )
        found.append(
            Table(title, down.labels if down else ("",), across.labels if across else ("",), rows)
        )
    return found


def _length(axis: Dimension | None) -> int:
    return len(axis.values) if axis else 1


def prompt_labels(prompts: Sequence[str]) -> list[str]:
    """What tells the prompts apart: their tags without those that all of them have."""
    if len(prompts) < 2:
        return list(prompts)
    tags = [split_tags(prompt) for prompt in prompts]
    shared = set(tags[0]).intersection(*tags[1:])
    return [join_tags(tag for tag in own if tag not in shared) or "plain" for own in tags]


def replacements(text: str, *prompts: str) -> list[str]:
    """The values of a search-and-replace axis as in the WebUI's X/Y/Z plot: the first is searched
    for, and is itself drawn.

    Commas divide; a value with commas stands in double quotes.  prompts: where it must be found.
    Raises: SettingsError, when it is in none of them.
    """
    values = split_list(text)
    if values and not any(values[0] in prompt for prompt in prompts):
        near = difflib.get_close_matches(
            values[0], [tag for prompt in prompts for tag in split_tags(prompt)], n=1, cutoff=0.4
        )
        hint = (
            f"; did you mean '{near[0]}'?" if near else "; the first value is what is searched for"
        )
        raise SettingsError(
            f"plot.search_replace: found '{values[0]}' in no prompt, expected a part of one{hint}"
        )
    return values
