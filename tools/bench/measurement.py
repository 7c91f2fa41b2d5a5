"""One measured number, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """value in a unit; ratio: value / the value named by ratio_to."""

    name: str
    value: float
    unit: str
    ratio_to: str = ""
    ratio: float | None = None


def against(name: str, value: float, unit: str, other: str, other_value: float) -> Measurement:
    """A measurement beside the one that it is compared with."""
    return Measurement(name, round(value, 4), unit, other, round(value / other_value, 4))


def table(found: Sequence[Measurement]) -> str:
    """Lines for a person."""
    rows = [("", "value", "unit", "ratio", "to")]
    rows += [
        (m.name, f"{m.value:g}", m.unit, "" if m.ratio is None else f"{m.ratio:.3f}", m.ratio_to)
        for m in found
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
