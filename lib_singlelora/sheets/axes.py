"""The axes of a sheet: what is varied, and in which table, row and column each combination lies."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..captions.text import join_tags, split_tags
from ..errors import SettingsError
from ..settings.declare import split_list

# Axes that the checkpoint alone does not have
LORA_AXES = ("epoch", "preset", "strength", "refine")
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

Spot = tuple[int, ...]  # index of the value in each dimension


@dataclass(frozen=True)
class Dimension:
    """One thing that may vary.

    name: of the axis, as in the settings.
    values: what is drawn with.
    labels: of the values, for the reader.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One table of the sheet.

    rows, columns: labels.
    spots: by row and column.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    spots: tuple[tuple[Spot, ...], ...]


def make_dimension(name: str, values: Sequence[Any], labels: Sequence[str] = ()) -> Dimension:
    """A dimension whose labels, by default its values, follow the axis's prefix."""
    labels = labels or [
        f"{value:g}" if isinstance(value, float) else str(value) for value in values
    ]
    prefix = LABEL_PREFIXES.get(name, "")
    return Dimension(name, tuple(values), tuple(f"{prefix}{label}" for label in labels))


def all_spots(dimensions: Sequence[Dimension]) -> Iterator[Spot]:
    """Every combination; the last dimension changes first.

    What changes the model most comes first among the dimensions, so that it changes least often.
    """
    return product(*(range(len(dimension.values)) for dimension in dimensions))


def values_at(dimensions: Sequence[Dimension], spot: Spot) -> dict[str, Any]:
    """The value of each dimension at a spot, by its name."""
    return {
        dimension.name: dimension.values[index]
        for dimension, index in zip(dimensions, spot, strict=True)
    }


def lay_out_tables(dimensions: Sequence[Dimension], x: str, y: str, z: str) -> list[Table]:
    """The sheet's tables: x goes across, y down; all else that varies, from table to table.

    x, y, z: names of dimensions, or "none"; z changes slowest of what varies between tables.
    Raises: SettingsError, for one name on two axes.
    """
    chosen = [name for name in (x, y, z) if name != "none"]
    for name in chosen:
        if chosen.count(name) > 1:
            raise SettingsError(
                f"plot.x, plot.y, plot.z: found '{name}' on two of them, expected different axes;"
                " 'none' leaves one empty"
            )
    by_name = {dimension.name: dimension for dimension in dimensions}
    columns = by_name[x].labels if x in by_name else ("",)
    rows = by_name[y].labels if y in by_name else ("",)
    between = [by_name[z]] if z in by_name else []
    between += [
        dimension
        for dimension in dimensions
        if dimension.name not in chosen and len(dimension.values) > 1
    ]
    tables = []
    for spot in all_spots(between):
        fixed = {dimension.name: index for dimension, index in zip(between, spot, strict=True)}
        title = " · ".join(dimension.labels[fixed[dimension.name]] for dimension in between)
        cells = tuple(
            tuple(
                tuple(
                    {**fixed, x: column, y: row}.get(dimension.name, 0) for dimension in dimensions
                )
                for column in range(len(columns))
            )
            for row in range(len(rows))
        )
        tables.append(Table(title, rows, columns, cells))
    return tables


def prompt_labels(prompts: Sequence[str]) -> list[str]:
    """Labels that tell the prompts apart: their tags without those that all of them have."""
    if len(prompts) < 2:
        return list(prompts)
    tags = [split_tags(prompt) for prompt in prompts]
    shared = set(tags[0]).intersection(*tags[1:])
    return [
        join_tags(tag for tag in prompt_tags if tag not in shared) or "plain"
        for prompt_tags in tags
    ]


def replacements(text: str, *prompts: str) -> list[str]:
    """The values of a search-and-replace axis, as the WebUI's X/Y/Z plot reads them.

    The first is searched for, and is itself drawn.

    text: values divided by commas; one with commas stands in double quotes.
    prompts: where the first must be found.
    Raises: SettingsError, when it is in none of them.
    """
    values = split_list(text)
    if values and not any(values[0] in prompt for prompt in prompts):
        tags = [tag for prompt in prompts for tag in split_tags(prompt)]
        near = difflib.get_close_matches(values[0], tags, n=1, cutoff=0.4)
        hint = (
            f"; did you mean '{near[0]}'?" if near else "; the first value is what is searched for"
        )
        raise SettingsError(
            f"plot.search_replace: found '{values[0]}' in no prompt, expected a part of one{hint}"
        )
    return values
