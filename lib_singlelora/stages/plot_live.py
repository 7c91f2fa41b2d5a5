"""What a page needs to show a sheet while it is drawn: where each picture will lie.

`plots/live.json` is there from the first picture on until the sheet itself is.
"""

from __future__ import annotations

from ..files.fileio import write_json
from ..workspace.workspace import Workspace
from .plot_cells import SheetCells

FILE = "live.json"


def announce(cells: SheetCells, workspace: Workspace) -> None:
    """Write the tables with the names of the pictures' files."""
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


def withdraw(workspace: Workspace) -> None:
    """The sheet is there: what stood for it goes."""
    (workspace.plots / FILE).unlink(missing_ok=True)
