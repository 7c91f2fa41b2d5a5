"""The base model that another trainer's file is for, as far as the file tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..families.family import Family
from ..families.registry import FAMILIES
from ..naming.block_weights import PRESETS, expand_preset, fits_layout
from ..naming.blocks import LAYOUTS, SD1, BlockLayout
from .tables import LISTS
from .values import DECIMAL_COMMA

HALF_VAE = ("no_half_vae", "sdxl_no_half_vae")


def layout_of_file(values: Mapping[str, Any]) -> BlockLayout:
    """The layout that a file is for: by its switches, else by its block lists; SD1 if in doubt.

    sd-scripts has a program for each base model and no key for it.
    """

    def switched(key: str) -> bool:
        return str(values.get(key, "")).strip().lower() in ("true", "1")

    middle = joined(values.get("mid_lr_weight", "")).count(",") + 1
    tests: tuple[Callable[[Family], bool], ...] = (
        lambda family: switched(family.kohya_switch),
        lambda family: 1 < middle == family.layout.kohya_middle,
        lambda family: family.vae_overflows and any(map(switched, HALF_VAE)),
    )
    found = (family.layout for test in tests for family in FAMILIES if test(family))
    return next(found, SD1)


def layout_of_weights(text: str) -> BlockLayout:
    """The layout that block weights are written for: the first that takes so many values."""
    values = expand_preset(text.strip(), PRESETS)
    if values.count("/") == 2:
        middle = values.split("/")[1].count(",") + 1
        return next((layout for layout in LAYOUTS if layout.kohya_middle == middle), SD1)
    return next((layout for layout in LAYOUTS if fits_layout(values, layout)), SD1)


def block_lists(written: Mapping[str, Any], layout: BlockLayout) -> list[str]:
    """The three block lists as text, '' for one that is missing."""
    down, middle, up = (joined(written.get(key, "")) for key in LISTS)
    # Where the middle is one block, its comma is no list's
    if layout.kohya_middle == 1 and DECIMAL_COMMA.fullmatch(middle):
        middle = middle.replace(",", ".")
    return [down, middle, up]


def joined(value: Any) -> str:
    """A list as text, in whatever form a file has it."""
    if isinstance(value, list):
        return ",".join(joined(item) for item in value)
    try:
        return f"{value:g}" if isinstance(value, int | float) else str(value or "").strip("\"' []")
    except OverflowError:  # integers in JSON have no limit
        return str(value)
