"""Sheets: labelled grids of pictures as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

INK, PAPER, LINE, SOFT = (24, 24, 27), (255, 255, 255), (212, 212, 216), (113, 113, 122)
GAP = 6


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


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font at a size; before Pillow 10.1 it has one size only."""
    try:
        return ImageFont.load_default(size)
    except TypeError:
        return ImageFont.load_default()


def wrap(text: str, width: float, face: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """Lines of the text that fit in a width, pixels; a word that is too long is cut into pieces."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while face.getlength(word) > width and len(word) > 1:
            cut = max(1, int(len(word) * width / face.getlength(word)))
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


def draw_sheet(title: str, subtitle: str, grids: Sequence[Grid], cell: int) -> Image.Image:
    """The grids below one another under a title.  cell: side of one picture, pixels."""
    size = max(11, min(28, cell // 9))
    face, small, large = font(size), font(max(10, int(size * 0.85))), font(int(size * 1.5))
    line = int(size * 1.35)
    label = int(max((face.getlength(row) for grid in grids for row in grid.rows), default=0)) + 4 * GAP
    label = min(label, cell * 2)
    across = max(max((len(c.images) for row in grid.cells for c in row if c), default=1) for grid in grids)
    pitch = across * cell + GAP * 2
    columns = max(len(grid.columns) for grid in grids)
    width = max(label + columns * pitch + GAP * 2, 420)
    head = [*wrap(title, width - 4 * GAP, large)]
    under = wrap(subtitle, width - 4 * GAP, small)
    top = 2 * GAP + len(head) * int(line * 1.5) + len(under) * line + GAP
    row_height = cell + line + GAP * 2
    heights = [line * 2 + GAP + len(grid.rows) * row_height for grid in grids]
    sheet = Image.new("RGB", (width, top + sum(heights) + 2 * GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    y = 2 * GAP
    for text in head:
        pen.text((2 * GAP, y), text, INK, font=large)
        y += int(line * 1.5)
    for text in under:
        pen.text((2 * GAP, y), text, SOFT, font=small)
        y += line
    y = top
    for grid, height in zip(grids, heights, strict=True):
        _draw_grid(sheet, pen, grid, y, label, pitch, cell, row_height, face, small, line)
        y += height
    return sheet


def _draw_grid(sheet: Image.Image, pen: ImageDraw.ImageDraw, grid: Grid, top: int, label: int, pitch: int, cell: int,
               row_height: int, face: ImageFont.ImageFont | ImageFont.FreeTypeFont,
               small: ImageFont.ImageFont | ImageFont.FreeTypeFont, line: int) -> None:
    pen.text((2 * GAP, top), grid.title, INK, font=face)
    for index, column in enumerate(grid.columns):
        center = label + index * pitch + pitch / 2
        pen.text((center - face.getlength(column) / 2, top + line), column, INK, font=face)
    for r, row in enumerate(grid.rows):
        y = top + 2 * line + GAP + r * row_height
        pen.line((2 * GAP, y - GAP // 2, sheet.width - 2 * GAP, y - GAP // 2), fill=LINE)
        for i, text in enumerate(wrap(row, label - 3 * GAP, face)):
            pen.text((2 * GAP, y + i * line), text, INK, font=face)
        for c, place in enumerate(grid.cells[r]):
            if place is None:
                continue
            x = label + c * pitch + GAP
            for i, image in enumerate(place.images):
                fitted = ImageOps.contain(image.convert("RGB"), (cell, cell), Image.Resampling.LANCZOS)
                spare = ((cell - fitted.width) // 2, (cell - fitted.height) // 2)
                sheet.paste(fitted, (x + i * cell + spare[0], y + spare[1]))
            if place.mark:
                box = (x - 3, y - 3, x + len(place.images) * cell + 2, y + cell + 2)
                pen.rectangle(box, outline=(22, 163, 74), width=3)
            pen.text((x, y + cell + 3), place.note, SOFT, font=small)
