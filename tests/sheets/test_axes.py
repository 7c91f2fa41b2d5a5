"""Axes: what is varied, and where each combination lies."""

from itertools import pairwise
from math import prod

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.sheets.axes import (
    all_spots,
    lay_out_tables,
    make_dimension,
    prompt_labels,
    replacements,
    values_at,
)

DIMENSIONS = (
    make_dimension("epoch", (2, 4)),
    make_dimension("preset", ("ALL", "OUTD")),
    make_dimension("strength", (0.5, 1.0, 1.5)),
    make_dimension("prompt", ("a", "b")),
    make_dimension("sampler", ("Euler",)),
)


def names(spot: tuple[int, ...]) -> tuple[object, ...]:
    return tuple(values_at(DIMENSIONS, spot).values())


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        ("strength", "epoch", "preset"),
        ("prompt", "epoch", "preset"),
        ("strength", "prompt", "none"),
        ("none", "none", "none"),
        ("sampler", "strength", "epoch"),
    ],
)
def test_every_combination_lies_in_one_place_whatever_the_axes(x: str, y: str, z: str) -> None:
    found = [
        spot for table in lay_out_tables(DIMENSIONS, x, y, z) for row in table.spots for spot in row
    ]
    assert sorted(found) == sorted(all_spots(DIMENSIONS)) and len(found) == prod((2, 2, 3, 2, 1))
    for table in lay_out_tables(DIMENSIONS, x, y, z):
        assert len(table.rows) == len(table.spots) and all(
            len(row) == len(table.columns) for row in table.spots
        )


def test_a_place_is_under_its_own_labels() -> None:
    second = lay_out_tables(DIMENSIONS, "strength", "epoch", "preset")[2]
    assert (second.title, second.rows[1], second.columns[2]) == (
        "Blocks: OUTD · a",
        "epoch 4",
        "strength 1.5",
    )
    assert names(second.spots[1][2]) == (4, "OUTD", 1.5, "a", "Euler")


def test_what_changes_the_model_most_changes_least_often() -> None:
    order = [names(spot) for spot in all_spots(DIMENSIONS)]
    changes = [sum(one[i] != other[i] for one, other in pairwise(order)) for i in range(3)]
    assert changes == sorted(changes) and changes[0] == 1


def test_one_name_on_two_axes_is_refused() -> None:
    with pytest.raises(SettingsError, match="epoch"):
        lay_out_tables(DIMENSIONS, "epoch", "epoch", "preset")


def test_prompts_are_told_apart_by_what_they_do_not_share() -> None:
    assert prompt_labels(["isa, girl, sitting", "isa, girl", "isa, girl, waving, hat"]) == [
        "sitting",
        "plain",
        "waving, hat",
    ]


def test_search_and_replace_is_the_webuis() -> None:
    assert replacements('red, blue, "green, tall"', "a red hat") == ["red", "blue", "green, tall"]
    assert replacements("", "a") == []
    with pytest.raises(SettingsError, match="red hat"):
        replacements("rde hat, blue hat", "girl, red hat")
