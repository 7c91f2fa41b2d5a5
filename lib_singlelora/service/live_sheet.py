"""A sheet while it is drawn: its tables, and of each cell the pictures that are there."""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import WorkspaceError
from ..workspace.stage_record import check
from .service import Service

TABLE = {"title": str, "rows": [str], "columns": [str], "cells": [[[str]]]}
# A name becomes a path; it may come from anybody.
NAME = re.compile(r"[0-9a-f]{8,64}-\d{1,10}\.png")


def live_sheet(service: Service, name: str) -> dict[str, Any]:
    """Tables of cells, of each its pictures' files; no tables while no sheet is being drawn.

    In a table: title, rows, columns, and by row and column the cell's `files` that are drawn, and
    `of`, how many it will have; `page`, the sheet without pictures, or None.
    Raises: WorkspaceError.
    """
    plots = service.workspace(name).plots
    try:
        told = json.loads((plots / "live.json").read_text(encoding="utf-8"))
        check(told, {"tables": [TABLE]}, "plots/live.json")
    except (OSError, ValueError, WorkspaceError):
        return {"tables": [], "drawn": 0, "pictures": 0, "page": None}
    folder = plots / "cells"
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    drawn = pictures = 0
    for table in told["tables"]:
        for row in table["cells"]:
            for at, names in enumerate(row):
                known = [each for each in names if NAME.fullmatch(each)]
                files = [f"plots/cells/{each}" for each in known if each in there]
                row[at] = {"files": files, "of": len(known)}
                drawn += len(files)
                pictures += len(known)
    page = "plots/live.html" if (plots / "live.html").is_file() else None
    return {"tables": told["tables"], "drawn": drawn, "pictures": pictures, "page": page}
