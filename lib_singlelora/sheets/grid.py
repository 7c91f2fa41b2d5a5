"""Sheets: labelled grids of pictures as one PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from PIL import Image, ImageDraw, ImageOps

from .lettering import (
    Face,
    font,
    length,
    missing_letters,
    runs_leftwards,
    shapes_scripts,
    shortened,
    wrap,
    write,
)

__all__ = [
    "GAP",
    "INK",
    "LINE",
    "MARK",
    "PAPER",
    "SOFT",
    "Cell",
    "Face",
    "Grid",
    "draw_sheet",
    "folded",
    "font",
    "length",
    "wrap",
    "write",
]

INK = (24, 24, 27)  # texts
SOFT = (113, 113, 122)  # texts that stand back
PAPER = (255, 255, 255)
LINE = (212, 212, 216)
MARK = (22, 163, 74)  # frame of the recommended cell
GAP = 6  # pixels
BETWEEN = 2  # pixels from one picture of a cell to the next
MOST_ACROSS = 14  # pictures side by side; a sheet of more could not be read when it is printed
LETTER = 100  # letters are at least this part of the width high, two millimetres on A4
# Characters of a label, of what stands under a cell, and of what stands over the tables or in the
# legend
LABEL_LENGTH = 120
NOTE_LENGTH = 160
TEXT_LENGTH = 600


@dataclass(frozen=True)
class Cell:
    """One place of a grid.

    images: shown side by side.
    note: one short line below.
    mark: True draws a frame around the images.
    """

    images: tuple[Image.Image, ...]
    note: str = ""
    mark: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of cells.

    title: above it.
    rows, columns: labels.
    cells: by row and column; None stays empty.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True)
class _Measures:
    """Sizes of one sheet, pixels.

    cell: side of a picture.
    face, small: of labels, and of notes.
    line: height of a line.
    label: width of the row labels.
    pitch: width of a column.
    across: pictures side by side in a cell, a count.
    """

    cell: int
    face: Face
    small: Face
    line: int
    label: int
    pitch: int
    across: int

    @property
    def room(self) -> int:
        """Width for what stands over or under a cell's pictures."""
        return self.pitch - 2 * GAP


def _measures(grids: Sequence[Grid], cell: int, size: int) -> _Measures:
    face = font(size)
    small = font(max(10, int(size * 0.85)))
    longest = max((length(row, face) for grid in grids for row in grid.rows), default=0)
    label = int(longest) + 4 * GAP
    most = max(
        max((len(c.images) for row in grid.cells for c in row if c), default=1) for grid in grids
    )
    # A few pictures stand side by side; more make a block, so that the sheet does not get wider
    # than paper.
    across = most if most <= 3 else math.ceil(math.sqrt(most))
    words = (word for grid in grids for column in grid.columns for word in column.split())
    widest = min(max((length(word, face) for word in words), default=0), 2 * cell)
    pitch = max(across * (cell + BETWEEN), int(widest)) + GAP * 2
    return _Measures(cell, face, small, int(size * 1.35), min(label, cell * 2), pitch, across)


class _Row:
    """One row of a grid with its texts wrapped, so that its height is known before it is drawn."""

    def __init__(self, label: str, cells: Sequence[Cell | None], sizes: _Measures) -> None:
        self.cells = cells
        self.sizes = sizes
        self.label = wrap(label, sizes.label - 3 * GAP, sizes.face)
        self.notes = [wrap(cell.note, sizes.room, sizes.small) if cell else [] for cell in cells]
        deep = max((-(-len(cell.images) // sizes.across) for cell in cells if cell), default=1)
        self.pictures = deep * (sizes.cell + BETWEEN)
        lines = max((len(note) for note in self.notes), default=0)
        self.height = (
            max(self.pictures + max(1, lines) * sizes.line, len(self.label) * sizes.line) + 2 * GAP
        )

    def draw(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, y: int) -> None:
        """Everything of the row.  y: its upper edge."""
        sizes = self.sizes
        pen.line((2 * GAP, y - GAP // 2, sheet.width - 2 * GAP, y - GAP // 2), fill=LINE)
        for i, text in enumerate(self.label):
            write(sheet, (2 * GAP, y + i * sizes.line), text, INK, sizes.face)
        for index, (cell, note) in enumerate(zip(self.cells, self.notes, strict=True)):
            if cell is not None:
                at = (sizes.label + index * sizes.pitch + GAP, y)
                self._draw_cell(sheet, pen, cell, note, at)

    def _draw_cell(
        self,
        sheet: Image.Image,
        pen: ImageDraw.ImageDraw,
        cell: Cell,
        note: Sequence[str],
        at: tuple[int, int],
    ) -> None:
        side = self.sizes.cell
        across = self.sizes.across
        x, y = at
        step = side + BETWEEN
        for i, image in enumerate(cell.images):
            fitted = ImageOps.contain(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
            spare = ((side - fitted.width) // 2, (side - fitted.height) // 2)
            sheet.paste(
                fitted, (x + i % across * step + spare[0], y + i // across * step + spare[1])
            )
        if cell.mark:
            width = min(len(cell.images), across) * step - BETWEEN
            height = -(-len(cell.images) // across) * step - BETWEEN
            pen.rectangle((x - 3, y - 3, x + width + 2, y + height + 2), outline=MARK, width=3)
        top = y + self.pictures + 3
        for i, line in enumerate(note):
            write(sheet, (x, top + i * self.sizes.line), line, SOFT, self.sizes.small)


def draw_sheet(
    title: str, subtitle: str, grids: Sequence[Grid], cell: int, legend: Sequence[str] = ()
) -> Image.Image:
    """The grids below one another under a title, then the legend.

    Long texts are shortened: on paper a prompt of a page would leave no room for pictures.  The
    page has them whole.

    cell: side of one picture, pixels.
    legend: lines under the grids.
    """
    texts = [
        title,
        subtitle,
        *legend,
        *(text for grid in grids for text in (grid.title, *grid.rows, *grid.columns)),
    ]
    if lacking := missing_letters(iter(texts)):
        legend = [
            *legend,
            f"Brackets stand for characters that no font of this machine has: {lacking}. Fonts such"
            " as Noto have them.",
        ]
    if any(map(runs_leftwards, texts)) and not shapes_scripts():
        legend = [
            *legend,
            "Arabic and Hebrew letters are not joined and ordered: Pillow finds no FriBiDi here.",
        ]
    title = shortened(title, LABEL_LENGTH)
    subtitle = shortened(subtitle, TEXT_LENGTH)
    legend = [shortened(text, TEXT_LENGTH) for text in legend]
    grids = [_short(grid) for grid in grids]
    size = max(11, min(28, cell // 9))
    sizes = _measures(grids, cell, size)
    grids = [part for grid in grids for part in folded(grid, max(1, MOST_ACROSS // sizes.across))]
    width = _width(grids, sizes)
    if width // LETTER > size:
        size = width // LETTER
        sizes = _measures(grids, cell, size)
        width = _width(grids, sizes)
    large = font(int(size * 1.5))
    room = width - 4 * GAP
    head = wrap(title, room, large)
    under = wrap(subtitle, room, sizes.small)
    end = [line for text in legend for line in wrap(text, room, sizes.small)]
    rows = [
        [_Row(label, cells, sizes) for label, cells in zip(grid.rows, grid.cells, strict=True)]
        for grid in grids
    ]
    heads = [_GridHead(grid, width, sizes) for grid in grids]
    top = 2 * GAP + len(head) * int(sizes.line * 1.5) + len(under) * sizes.line + GAP
    inner = sum(grid_head.height for grid_head in heads) + sum(
        row.height for group in rows for row in group
    )
    bottom = (len(end) * sizes.line + GAP if end else 0) + 2 * GAP
    sheet = Image.new("RGB", (width, top + inner + bottom), PAPER)
    pen = ImageDraw.Draw(sheet)
    y = _lines(sheet, head, 2 * GAP, INK, large, int(sizes.line * 1.5))
    _lines(sheet, under, y, SOFT, sizes.small, sizes.line)
    y = top
    for grid_head, grid_rows in zip(heads, rows, strict=True):
        grid_head.draw(sheet, y)
        y += grid_head.height
        for row in grid_rows:
            row.draw(sheet, pen, y)
            y += row.height
    _lines(sheet, end, y + GAP, SOFT, sizes.small, sizes.line)
    return sheet


def _short(grid: Grid) -> Grid:
    cells = tuple(
        tuple(cell and replace(cell, note=shortened(cell.note, NOTE_LENGTH)) for cell in row)
        for row in grid.cells
    )
    return Grid(
        shortened(grid.title, 2 * LABEL_LENGTH), _labels(grid.rows), _labels(grid.columns), cells
    )


def _labels(texts: Sequence[str]) -> tuple[str, ...]:
    """The labels shortened; those that look alike then are numbered."""
    short = [shortened(text, LABEL_LENGTH) for text in texts]
    alike = {
        label
        for label, text in zip(short, texts, strict=True)
        if label != text and short.count(label) > 1
    }
    return tuple(
        f"{number}: {label}" if label in alike else label for number, label in enumerate(short, 1)
    )


def _width(grids: Sequence[Grid], sizes: _Measures) -> int:
    return max(sizes.label + max(len(grid.columns) for grid in grids) * sizes.pitch + GAP * 2, 420)


def folded(grid: Grid, most: int) -> list[Grid]:
    """The grid, or several of about the same width.

    most: columns of one.
    """
    count = -(-len(grid.columns) // most)
    if count < 2:
        return [grid]
    edges = [round(i * len(grid.columns) / count) for i in range(count + 1)]
    return [
        replace(
            grid,
            title=f"{grid.title} ({i} of {count})".strip(),
            columns=grid.columns[first:last],
            cells=tuple(row[first:last] for row in grid.cells),
        )
        for i, (first, last) in enumerate(pairwise(edges), 1)
    ]


def _lines(
    sheet: Image.Image,
    lines: Sequence[str],
    y: int,
    colour: tuple[int, int, int],
    face: Face,
    line: int,
) -> int:
    """Write lines below one another.  y: where the first begins; returned: where the next would."""
    for text in lines:
        write(sheet, (2 * GAP, y), text, colour, face)
        y += line
    return y


class _GridHead:
    """A grid's title and the labels over its columns, wrapped."""

    def __init__(self, grid: Grid, width: int, sizes: _Measures) -> None:
        self.sizes = sizes
        self.title = wrap(grid.title, width - 4 * GAP, sizes.face)
        self.columns = [wrap(column, sizes.room, sizes.face) for column in grid.columns]
        self.deep = max((len(column) for column in self.columns), default=0)
        self.height = (len(self.title) + self.deep) * sizes.line + 2 * GAP

    def draw(self, sheet: Image.Image, y: int) -> None:
        """The texts.  y: upper edge."""
        sizes = self.sizes
        y = _lines(sheet, self.title, y, INK, sizes.face, sizes.line)
        for index, column in enumerate(self.columns):
            middle = sizes.label + (index + 0.5) * sizes.pitch
            for i, text in enumerate(column):
                at = (
                    middle - length(text, sizes.face) / 2,
                    y + (self.deep - len(column) + i) * sizes.line,
                )
                write(sheet, at, text, INK, sizes.face)
