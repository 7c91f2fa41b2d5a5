"""The picture after each substep of `prepare`, kept small, so that any two can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.fileio import is_own_file
from ..imaging.load import picture_size
from .workspace import Workspace

UPSCALED = "upscaled"
CLEANED = "cleaned"
WIDENED = "widened"
BACKGROUND = "background"
# In the order in which they happen
SUBSTEPS = (UPSCALED, CLEANED, WIDENED, BACKGROUND)
ORIGINAL = "original"
PREPARED = "prepared"


def substep_file(workspace: Workspace, name: str) -> Path:
    """Where the picture after a substep lies."""
    return workspace.root / "source" / f"{name}.jpg"


def substeps_of(workspace: Workspace) -> list[dict[str, Any]]:
    """The pictures from the original to the prepared one; only substeps that happened.

    name: `original`, one of SUBSTEPS, or `prepared`.
    file: relative.
    box: where it lies in the prepared picture: left, top, right, bottom, pixels.
    Empty where nothing is prepared.
    """
    original = workspace.original()
    if original is None or not is_own_file(workspace.prepared):
        return []
    data = workspace.record("prepare").data
    whole = [0, 0, *picture_size(workspace.prepared)]
    before = data.get("unwidened", whole)
    happened = [name for name in SUBSTEPS if name in data.get("substeps", ())]
    paths = {
        ORIGINAL: original,
        **{name: substep_file(workspace, name) for name in happened},
        PREPARED: workspace.prepared,
    }
    return [
        {
            "name": name,
            "file": path.relative_to(workspace.root).as_posix(),
            "box": before if name in (ORIGINAL, UPSCALED, CLEANED) else whole,
        }
        for name, path in paths.items()
        if is_own_file(path)
    ]
