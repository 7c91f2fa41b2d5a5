"""Every family, and the one that a layout is of."""

from __future__ import annotations

from .family import Family
from .layout import BlockLayout
from .sd1 import SD1
from .sd2 import SD2
from .sdxl import SDXL

FAMILIES = (SD1, SD2, SDXL)


def family_of(layout: BlockLayout) -> Family:
    """The family of a layout, of a narrower checkpoint's too."""
    return next(family for family in FAMILIES if family.name == layout.name)
