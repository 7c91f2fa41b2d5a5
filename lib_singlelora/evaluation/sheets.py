"""Sheets: labelled grids of pictures as one PNG."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

INK, PAPER, LINE, SOFT = (24, 24, 27), (255, 255, 255), (212, 212, 216), (113, 113, 122)
MARK = (22, 163, 74)
GAP = 6
Face = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Cell:
    """One place of a grid.  images: shown side by side.  mark: drawn as a frame.  note: one short line below."""

    images: tuple[Image.Image, ...]
    note: str = ""
    mark: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of cells.  A None cell stays empty.  title: above it; rows, columns: labels."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


def font(size: int) -> Face:
    """Pillow's own font at a size; before Pillow 10.1 it has one small size only, and another is looked for."""
    try:
        return ImageFont.load_default(size)
    except TypeError:
        for path in _other_fonts():
            with contextlib.suppress(OSError):
                return ImageFont.truetype(path, size)
        return ImageFont.load_default()


def _other_fonts() -> Iterator[str]:
    """A font of the system, or the one that matplotlib brings, which gradio 3 needs."""
    spec = importlib.util.find_spec("matplotlib")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield str(Path(place) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    yield from ("DejaVuSans.ttf", "arial.ttf", "Arial.ttf", "Helvetica.ttc")


def wrap(text: str, width: float, face: Face) -> list[str]:
    """Lines of the text that fit in a width, pixels; a word that is too long is cut into pieces."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while face.getlength(word) > width and len(word) > 1:
            cut = max(1, int(len(word) * width / face.getlength(word)))
            while cut > 1 and face.getlength(word[:cut]) > width:  # letters are not equally wide
                cut -= 1
            lines += [line] if line else []
            lines.append(word[:cut])
            line, word = "", word[cut:]
        joined = f"{line} {word}".strip()
        if line and face.getlength(joined) > width:
            lines.append(line)
            line = word
        else:
            line = joined
    return [*lines, line] if line else lines


@dataclass(frozen=True)
class _Measures:
    """Sizes of one sheet, pixels.  cell: side of a picture; label: width of the row labels; pitch: of a column."""

    cell: int
    face: Face
    small: Face
    line: int
    label: int
    pitch: int

    @property
    def row(self) -> int:
        return self.cell + self.line + GAP * 2


def _measures(grids: Sequence[Grid], cell: int) -> _Measures:
    size = max(11, min(28, cell // 9))
    face, small = font(size), font(max(10, int(size * 0.85)))
    label = int(max((face.getlength(row) for grid in grids for row in grid.rows), default=0)) + 4 * GAP
    across = max(max((len(c.images) for row in grid.cells for c in row if c), default=1) for grid in grids)
    widest = max((face.getlength(column) for grid in grids for column in grid.columns), default=0)
    pitch = max(across * cell, int(widest)) + GAP * 2
    return _Measures(cell, face, small, int(size * 1.35), min(label, cell * 2), pitch)


def draw_sheet(title: str, subtitle: str, grids: Sequence[Grid], cell: int) -> Image.Image:
    """The grids below one another under a title.  cell: side of one picture, pixels."""
    sizes = _measures(grids, cell)
    large = font(max(16, min(42, cell // 6)))
    width = max(sizes.label + max(len(grid.columns) for grid in grids) * sizes.pitch + GAP * 2, 420)
    head, under = wrap(title, width - 4 * GAP, large), wrap(subtitle, width - 4 * GAP, sizes.small)
    top = 2 * GAP + len(head) * int(sizes.line * 1.5) + len(under) * sizes.line + GAP
    heights = [sizes.line * (bool(grid.title) + any(grid.columns)) + GAP + len(grid.rows) * sizes.row for grid in grids]
    sheet = Image.new("RGB", (width, top + sum(heights) + 2 * GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    y = 2 * GAP
    for text in head:
        pen.text((2 * GAP, y), text, INK, font=large)
        y += int(sizes.line * 1.5)
    for text in under:
        pen.text((2 * GAP, y), text, SOFT, font=sizes.small)
        y += sizes.line
    y = top
    for grid, height in zip(grids, heights, strict=True):
        _draw_grid(sheet, pen, grid, y, sizes)
        y += height
    return sheet


def _draw_grid(sheet: Image.Image, pen: ImageDraw.ImageDraw, grid: Grid, y: int, sizes: _Measures) -> None:
    if grid.title:
        pen.text((2 * GAP, y), grid.title, INK, font=sizes.face)
        y += sizes.line
    if any(grid.columns):
        for index, column in enumerate(grid.columns):
            center = sizes.label + (index + 0.5) * sizes.pitch
            pen.text((center - sizes.face.getlength(column) / 2, y), column, INK, font=sizes.face)
        y += sizes.line
    y += GAP
    for row, places in zip(grid.rows, grid.cells, strict=True):
        pen.line((2 * GAP, y - GAP // 2, sheet.width - 2 * GAP, y - GAP // 2), fill=LINE)
        for i, text in enumerate(wrap(row, sizes.label - 3 * GAP, sizes.face)):
            pen.text((2 * GAP, y + i * sizes.line), text, INK, font=sizes.face)
        for place_index, place in enumerate(places):
            if place is not None:
                _draw_cell(sheet, pen, place, (sizes.label + place_index * sizes.pitch + GAP, y), sizes)
        y += sizes.row


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, place: Cell, at: tuple[int, int], sizes: _Measures) -> None:
    cell, (x, y) = sizes.cell, at
    for i, image in enumerate(place.images):
        fitted = ImageOps.contain(image.convert("RGB"), (cell, cell), Image.Resampling.LANCZOS)
        spare = ((cell - fitted.width) // 2, (cell - fitted.height) // 2)
        sheet.paste(fitted, (x + i * cell + spare[0], y + spare[1]))
    if place.mark:
        pen.rectangle((x - 3, y - 3, x + len(place.images) * cell + 2, y + cell + 2), outline=MARK, width=3)
    pen.text((x, y + cell + 3), place.note, SOFT, font=sizes.small)
