"""A judged sheet as two files: a PNG for paper and an HTML page for a screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageOps

from ..files.fileio import write_bytes
from ..host import Host
from ..imaging.load import picture_parameters, read_rgb
from ..imaging.png import png_bytes
from ..judge.cells import CellSpec, Judgement
from ..settings.schema import Settings
from ..sheets.grid import Cell, Grid, draw_sheet
from ..sheets.page import Page, PageCell, PageTable, write_page
from ..workspace.workspace import Workspace
from .plot_layout import Layout, name_of

Places = tuple[tuple[CellSpec | None, ...], ...]

MOST_PIXELS = 150_000_000  # of all pictures on the sheet's PNG together


@dataclass(frozen=True)
class SheetContents:
    """A judged sheet, ready to be written.

    title: of the whole sheet.
    text: how the pictures were drawn.
    layout: the cells and where they lie.
    drawn: the pictures of each cell by their seeds; cells that were not drawn are not in it.
    seeds: how many of a cell's pictures stand on the sheet; the race's own do not.
    judged: what the judge says of each cell.
    best: the recommended cell; None for none.
    why: the reason, or ''.
    """

    title: str
    text: str
    layout: Layout
    drawn: Mapping[CellSpec, Mapping[int, Path]]
    seeds: int
    judged: Mapping[CellSpec, Judgement]
    best: CellSpec | None
    why: str

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], Places]]:
        """(title, row labels, column labels, cells by row and column) of each table.

        A cell that was not drawn is None; a row without any is left out.
        """
        for table in self.layout.tables:
            rows = []
            for label, spots in zip(table.rows, table.spots, strict=True):
                places = [self.layout.by_spot[spot] for spot in spots]
                row = tuple(place if place in self.drawn else None for place in places)
                if any(row):
                    rows.append((label, row))
            if rows:
                labels, cells = zip(*rows, strict=True)
                yield table.title, labels, table.columns, cells

    def shown(self, place: CellSpec) -> dict[int, Path]:
        """The pictures of a cell that stand on the sheet, by their seeds."""
        return dict(list(self.drawn[place].items())[: self.seeds])

    def further(self, place: CellSpec) -> dict[int, Path]:
        """The pictures of a cell that the race added, by their seeds."""
        return dict(list(self.drawn[place].items())[self.seeds :])

    def is_best(self, place: CellSpec) -> bool:
        """True for the recommended cell, and for one seed of it."""
        return self.best is not None and replace(place, seed=None) == self.best


def head_of(
    settings: Settings, host: Host, layout: Layout, seeds: Sequence[int]
) -> tuple[str, str]:
    """(the title, how the pictures were drawn): of the latter, what all of them have in common."""
    options = settings.plot
    first = layout.places[0]
    without_lora = [place for place in layout.places if not place.has_lora]
    prompts = len(layout.prompts)
    pieces = [host.checkpoint.name, f"{prompts} prompts" if prompts > 1 else first.prompt]
    if len({place.sampler for place in without_lora}) == 1:
        pieces.append(first.sampler)
    pieces.append(f"{options.steps} steps")
    if len({place.cfg_scale for place in without_lora}) == 1:
        pieces.append(f"CFG {first.cfg_scale:g}")
    pieces.append(f"seeds {', '.join(map(str, seeds))}")
    title = f"{settings.character.trigger}: {title_of(options.y)} and {title_of(options.x)}"
    return title, " · ".join(pieces)


def title_of(axis: str) -> str:
    """An axis in words, for a title."""
    return {
        "epoch": "epochs",
        "strength": "strengths",
        "preset": "block presets",
        "cfg_scale": "CFG scales",
        "none": "pictures",
        "search_replace": "words",
        "refine": "redrawings",
    }.get(axis, f"{axis.replace('_', ' ')}s")


def present_sheet(path: Path, shown: SheetContents, workspace: Workspace, size: int) -> None:
    """Write the PNG, for paper.

    size: side of a picture, pixels.
    """
    side = _side(size, sum(map(len, shown.drawn.values())))

    def cell(place: CellSpec, label: str = "") -> Cell:
        images = []
        for file in shown.shown(place).values():
            # At once as small as it is shown, for memory: a sheet may have thousands.
            images.append(ImageOps.contain(read_rgb(file), (side, side), Image.Resampling.LANCZOS))
        note = shown.judged[place].pixels.invalid or shown.judged[place].note
        return Cell(tuple(images), f"{label}: {note}" if label else note, shown.is_best(place))

    layout = shown.layout
    source = read_rgb(workspace.prepared)
    source.thumbnail((512, 512))
    first = [Cell((source,), "the picture"), *(cell(place, label) for label, place in layout.base)]
    columns = max(4, *(len(table.columns) for table in layout.tables))
    rows = [first[i : i + columns] for i in range(0, len(first), columns)]
    width = max(map(len, rows))
    grids = [
        Grid(
            "The picture, and the checkpoint without the LoRA",
            ("",) * len(rows),
            ("",) * width,
            tuple((*row, *[None] * (width - len(row))) for row in rows),
        )
    ]
    for title, labels, names, places in shown.tables():
        cells = tuple(tuple(cell(place) if place else None for place in row) for row in places)
        grids.append(Grid(title, labels, names, cells))
    legend = [f"{label}: {prompt}" for label, prompt in layout.prompts if label != prompt]
    legend += [f"Green frame, recommended: {shown.why}."] if shown.why else []
    parameters = picture_parameters(next(iter(shown.drawn[layout.places[0]].values())))
    sheet = draw_sheet(shown.title, shown.text, grids, side, legend)
    write_bytes(path, png_bytes(sheet, parameters))


def _side(size: int, pictures: int) -> int:
    """Side of a picture on the sheet, pixels: 128 to 256, smaller where memory asks for it."""
    return min(max(128, min(256, size)), max(32, math.isqrt(MOST_PIXELS // max(1, pictures))))


def drawn_with(place: CellSpec) -> str:
    """What else than the prompt a cell is drawn with, in words."""
    pieces = [place.sampler, f"CFG {place.cfg_scale:g}", f"clip skip {place.clip_skip}"]
    if place.negative_prompt:
        pieces.append(f"without: {place.negative_prompt}")
    return " · ".join(filter(None, pieces))


def present_page(path: Path, shown: SheetContents, workspace: Workspace) -> None:
    """Write the HTML, for a screen."""

    def cell(place: CellSpec) -> PageCell:
        seen = shown.judged[place]
        return PageCell(
            name_of(replace(place, seed=None)),
            place.prompt,
            drawn_with(place),
            tuple(shown.shown(place).values()),
            tuple(shown.shown(place)),
            {**seen.scores, "colours": seen.pixels.similarity},
            seen.pixels.invalid or seen.damage or seen.note,
            seen.pixels.invalid,
            shown.is_best(place),
            {**seen.traits, **seen.obeyed},
            seen.copy.crop if seen.copy else None,
            seen.on_front,
            dict(seen.spread),
            shown.further(place),
        )

    layout = shown.layout
    base = PageTable(
        "Without the LoRA",
        ("",),
        tuple(label for label, _ in layout.base),
        (tuple(cell(place) for _, place in layout.base),),
    )
    own = [
        PageTable(
            title,
            labels,
            names,
            tuple(tuple(cell(place) if place else None for place in row) for row in places),
        )
        for title, labels, names, places in shown.tables()
    ]
    write_page(path, Page(shown.title, shown.text, (base, *own), workspace.prepared, shown.why))
