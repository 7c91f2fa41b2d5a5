"""The sheet as one HTML page: thumbnails inside, full-size pictures linked, no network.

Style and script lie beside this file and are written into the page.  It is English; its script
says it in the reader's language, by the lists `page.LANGUAGE.json`: [ours, theirs], with {0} for
what changes and {#0} for a number, of whole sentences or of what they are joined from.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

from PIL import Image, features

from ..files.fileio import write_text
from ..imaging.load import read_rgb
from ..metrics.ranking import LESS_IS_BETTER

LIMIT = 2_700_000  # bytes of all thumbnails in the page, so that the whole stays below 3 MB
SIDES = (256, 224, 192, 160, 128, 96, 64)  # of thumbnails, pixels; the first that fits is taken
QUALITIES = (84, 76, 66, 54, 40)  # of WebP or JPEG; the first that fits is taken
SOURCE_SIDE = 512  # pixels
SOURCE_BYTES = 60_000
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class PageCell:
    """One cell.

    name: LoRA and strength in words.
    prompt: the prompt.
    about: what else it was drawn with.
    pictures: files, one a seed.
    seeds: of the pictures.
    scores: 0 to 1 by name.
    note: a few words to stand under it.
    invalid: why it is no picture, or ''.
    best: True for the recommended cell.
    traits: pictures that show each tag, in words.
    nearest: the training picture that it is most like.
    front: True on the Pareto front.
    spread: half the width of the interval of a score, by name.
    further: pictures that the race added, by their seeds; they are in the large view alone.
    """

    name: str
    prompt: str
    about: str
    pictures: tuple[Path, ...]
    seeds: tuple[int, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    invalid: str = ""
    best: bool = False
    traits: Mapping[str, str] = field(default_factory=dict)
    nearest: Path | None = None
    front: bool = False
    spread: Mapping[str, float] = field(default_factory=dict)
    further: Mapping[int, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class PageTable:
    """One table of cells by row and column; None is a cell that was not drawn."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[PageCell | None, ...], ...]


@dataclass(frozen=True)
class Page:
    """What is on the page.

    title: of the page.
    text: how the pictures were made.
    tables: the first holds the cells without the LoRA.
    source: the picture that the LoRA was made of.
    reason: of the recommendation; '' without one.
    """

    title: str
    text: str
    tables: tuple[PageTable, ...]
    source: Path
    reason: str = ""

    @property
    def cells(self) -> list[PageCell]:
        """Every cell in the order of the page."""
        return [cell for table in self.tables for row in table.cells for cell in row if cell]


def write_page(path: Path, page: Page, live: bool = False) -> None:
    """Write the page; the more pictures it has, the smaller are its thumbnails.

    live: True for a sheet that is being drawn: no picture is there yet, and each is put in its
        place when the page around this one says so.
    """
    thumbs = None if live else _Thumbs(sum(len(cell.pictures) for cell in page.cells))
    number = 0
    body: list[str] = []
    for table in page.tables:
        rows = []
        for label, row in zip(table.rows, table.cells, strict=True):
            cells = []
            for cell in row:
                cells.append(_cell(cell, number, thumbs) if cell else "<td class=none></td>")
                number += cell is not None
            head = f"<th scope=row>{html.escape(label)}</th>" if any(table.rows) else ""
            rows.append(f"<tr>{head}{''.join(cells)}</tr>")
        body.append(_table(table, rows, alone=not body))
    across, deep = _block(page)
    source = encoded(page.source, SOURCE_SIDE, SOURCE_BYTES)
    best = f"<span data-t>Recommended: {html.escape(page.reason)}.</span>"
    button = "<button id=show-best data-t>Show</button>"
    recommendation = f"<p class=best-line>{best} {button}</p>" if page.reason else ""
    names = list(dict.fromkeys(name for cell in page.cells for name in cell.scores))
    options = "".join(
        f'<option value="{html.escape(name)}" data-t>by {html.escape(name)}</option>'
        for name in names
    )
    data = json.dumps(
        {
            "names": names,
            "lower": sorted(LESS_IS_BETTER),
            "source": link(path, page.source),
            "cells": [
                _facts(path, cell, i < _count(page.tables[0])) for i, cell in enumerate(page.cells)
            ],
        },
        ensure_ascii=False,
    ).replace("<", "\\u003c")
    parts = {
        "title": html.escape(page.title),
        "text": html.escape(page.text),
        "style": _part("page.css"),
        "script": script_text(),
        "live": f"<script>{live_script_text()}</script>" if live else "",
        "recommendation": recommendation,
        "options": options,
        "tables": "".join(body),
        "data": data,
        "texts": texts_in_json(),
        "source": source,
        "across": across,
        "deep": deep,
    }
    write_text(path, _part("page.html").format_map(parts))


def _table(table: PageTable, rows: list[str], alone: bool) -> str:
    """A table as a section; labels that are all empty get no room.

    alone: True for the table that stands beside the source picture.
    """
    names = "".join(f"<th scope=col>{html.escape(column)}</th>" for column in table.columns)
    head = ("<th></th>" if any(table.rows) else "") + names
    top = f"<thead><tr>{head}</tr></thead>" if any(table.columns) else ""
    return (
        f"<section{' class=alone' if alone else ''}><h2>{html.escape(table.title)}</h2><table>{top}"
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _count(table: PageTable) -> int:
    return sum(cell is not None for row in table.cells for cell in row)


def _block(page: Page) -> tuple[int, int]:
    """(pictures side by side in a cell, rows of them)."""
    most = max((len(cell.pictures) for cell in page.cells), default=1)
    across = most if most <= 2 else math.ceil(math.sqrt(most))
    return across, -(-most // across)


@cache
def script_text() -> str:
    """The script as it stands in every page."""
    return _part("page.js")


@cache
def texts_in_json() -> str:
    """The page's sentences in other languages than English, by the language's code."""
    files = sorted(FOLDER.glob("page.*.json"))
    texts = {path.name.split(".")[1]: json.loads(_part(path.name)) for path in files}
    return json.dumps(texts, ensure_ascii=False).replace("<", "\\u003c")


@cache
def live_script_text() -> str:
    """The further script of a sheet that is being drawn."""
    return _part("live.js")


def _part(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _cell(cell: PageCell, number: int, thumbs: _Thumbs | None) -> str:
    """A cell as HTML; its pictures are empty places where there are no thumbnails."""

    def shown(picture: Path) -> str:
        return f'><img src="{thumbs.of(picture)}"' if thumbs else " disabled><img"

    pictures = "".join(
        f"<button class=pic data-k={k}{shown(picture)} loading=lazy decoding=async "
        f'alt="{html.escape(f"{cell.name}, seed {seed}", quote=True)}"></button>'
        for k, (picture, seed) in enumerate(zip(cell.pictures, cell.seeds, strict=True))
    )
    note = html.escape(cell.invalid or cell.note)
    return (
        f'<td><div class="cell{" best" if cell.best else ""}" data-i={number}><div'
        f" class=name>{html.escape(cell.name)}</div><div class=pics>{pictures}</div><div"
        f" class=meter><i></i></div><div class=note>{note}</div></div></td>"
    )


def _facts(page: Path, cell: PageCell, base: bool) -> dict[str, object]:
    return {
        "name": cell.name,
        "prompt": cell.prompt,
        "about": cell.about,
        "seeds": list(cell.seeds),
        "note": cell.note,
        "scores": {name: round(value, 4) for name, value in cell.scores.items()},
        "spread": {name: round(value, 4) for name, value in cell.spread.items()},
        "further": [[seed, link(page, picture)] for seed, picture in cell.further.items()],
        "broken": bool(cell.invalid),
        "traits": dict(cell.traits),
        "files": [link(page, picture) for picture in cell.pictures],
        "base": base,
        "front": cell.front,
        "nearest": link(page, cell.nearest) if cell.nearest else "",
    }


def link(page: Path, picture: Path) -> str:
    """Address of a picture as seen from the page."""
    return quote(Path(os.path.relpath(picture, page.parent)).as_posix())


class _Thumbs:
    """Makes the thumbnails of one page, each within its share of the page's bytes."""

    def __init__(self, count: int) -> None:
        self._most = LIMIT * 3 // 4 // max(1, count)  # bytes; base64 adds a third
        # The largest side that leaves each pixel more than 0.2 bytes
        self._side = next((side for side in SIDES if self._most > side * side * 0.2), SIDES[-1])

    def of(self, path: Path) -> str:
        """The picture's thumbnail as a data URI."""
        return encoded(path, self._side, self._most)


def encoded(path: Path, side: int, most: int) -> str:
    """The picture as a data URI, in WebP or JPEG.

    side: of the square that it fits in, pixels.
    most: bytes before base64; a picture below 24 pixels may have more.
    """
    form = "WEBP" if features.check("webp") else "JPEG"
    small = read_rgb(path)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = b""
    while True:
        for quality in QUALITIES:
            stream = io.BytesIO()
            small.save(stream, form, quality=quality)
            data = stream.getvalue()
            if len(data) <= most:
                return f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"
        if max(small.size) <= 24:
            return f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"
        small.thumbnail((small.width * 3 // 4, small.height * 3 // 4), Image.Resampling.LANCZOS)
