"""The contact sheet of a judged loopback: the kept candidates, and the others with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from ..imaging.load import read_rgb
from ..metrics.loopback_prompts import Wish
from ..sheets.grid import Cell, Grid, draw_sheet

ACROSS = 6  # pictures in a row
SMALLEST, LARGEST = 160, 256  # side of a picture, pixels


class Judged(Protocol):
    """A judged candidate."""

    @property
    def path(self) -> Path: ...

    @property
    def wish(self) -> Wish: ...

    @property
    def kept(self) -> bool: ...

    @property
    def reasons(self) -> tuple[str, ...]: ...


def draw_candidates(candidates: Sequence[Judged]) -> Image.Image:
    """The sheet."""
    kept = [each for each in candidates if each.kept]
    others = [each for each in candidates if not each.kept]
    pictures = {each.path: read_rgb(each.path) for each in candidates}
    grids = [
        _grid(title, group, pictures)
        for title, group in ((f"Kept: {len(kept)}", kept), (f"Rejected: {len(others)}", others))
        if group
    ]
    side = max((max(image.size) for image in pictures.values()), default=SMALLEST)
    text = f"{len(candidates)} candidates drawn, {len(kept)} kept for the next version"
    return draw_sheet("Loopback", text, grids, max(SMALLEST, min(LARGEST, side)))


def _grid(title: str, group: Sequence[Judged], pictures: dict[Path, Image.Image]) -> Grid:
    cells: list[Cell | None] = [
        Cell((pictures[each.path],), _note(each), mark=each.kept) for each in group
    ]
    columns = min(ACROSS, len(cells))
    cells += [None] * (-len(cells) % columns)
    rows = tuple(tuple(cells[i : i + columns]) for i in range(0, len(cells), columns))
    return Grid(title, ("",) * len(rows), ("",) * columns, rows)


def _note(candidate: Judged) -> str:
    wish = candidate.wish
    shown = f"{wish.source}: {wish.framing}, {', '.join(wish.asks)}"
    return f"{shown}; {candidate.reasons[0]}" if candidate.reasons else shown
