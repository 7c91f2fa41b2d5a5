"""What a page needs to show a sheet while it is drawn: where each picture will lie.

`plots/live.json` and `plots/live.html`, which is the sheet's own page without pictures, are there
from the first picture on until the sheet itself is.
"""

from __future__ import annotations

from dataclasses import replace

from ..files.fileio import write_json
from ..judge.cells import CellSpec
from ..sheets.page import Page, PageCell, PageTable, write_page
from ..workspace.workspace import Workspace
from .plot_cells import SheetCells
from .plot_layout import name_of
from .plot_output import drawn_with

FILE = "live.json"
PAGE = "live.html"


def announce(cells: SheetCells, workspace: Workspace, head: tuple[str, str]) -> None:
    """Write the tables with the names of the pictures' files, and the page for them.

    head: title and text of the sheet, as `head_of` gives them.
    """
    layout = cells.layout
    tables = [
        ("", [""], [label for label, _ in layout.base], [[place for _, place in layout.base]])
    ]
    for table in layout.tables:
        places = [[layout.by_spot[spot] for spot in row] for row in table.spots]
        tables.append((table.title, list(table.rows), list(table.columns), places))
    told = [
        {
            "title": title,
            "rows": rows,
            "columns": columns,
            "cells": [
                [[path.name for path in cells.files[place].values()] for place in row]
                for row in places
            ],
        }
        for title, rows, columns, places in tables
    ]
    write_json(workspace.plots / FILE, {"tables": told})
    pages = [_table(title, rows, columns, places, cells) for title, rows, columns, places in tables]
    pages[0] = replace(pages[0], title="Without the LoRA")
    page = Page(*head, tuple(pages), workspace.prepared)
    write_page(workspace.plots / PAGE, page, live=True)


def _table(
    title: str, rows: list[str], columns: list[str], places: list[list[CellSpec]], cells: SheetCells
) -> PageTable:
    """A table of the page, its pictures not drawn yet."""

    def cell(place: CellSpec) -> PageCell:
        files = cells.files[place]
        name = name_of(replace(place, seed=None))
        about = drawn_with(place)
        return PageCell(name, place.prompt, about, tuple(files.values()), tuple(files))

    shown = tuple(tuple(cell(place) for place in row) for row in places)
    return PageTable(title, tuple(rows), tuple(columns), shown)


def withdraw(workspace: Workspace) -> None:
    """The sheet is there: what stood for it goes."""
    for name in (FILE, PAGE):
        (workspace.plots / name).unlink(missing_ok=True)
