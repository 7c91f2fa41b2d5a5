"""The pictures between the substeps of `prepare`, written small for whoever compares them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from ..workspace.stage_record import StageRecord
from ..workspace.substeps import substep_file
from ..workspace.workspace import Workspace

SIDE = 2048  # pixels of the long side that is kept
# Without chroma subsampling, which would blur the very specks that cleaning is about
QUALITY = {"quality": 92, "subsampling": 0}


def write_substeps(
    workspace: Workspace,
    record: StageRecord,
    pictures: Mapping[str, Image.Image],
    unwidened: tuple[int, int, int, int] | None,
) -> list[Path]:
    """Write the picture after each substep that happened; the paths of the files.

    pictures: by the substep's name.
    unwidened: where the picture lies in the widened one; None where it was not widened.
    """
    paths = []
    for name, picture in pictures.items():
        small = picture.copy()
        small.thumbnail((SIDE, SIDE))
        data = io.BytesIO()
        small.save(data, "JPEG", **QUALITY)
        path = substep_file(workspace, name)
        # Nobody edits these: whatever lies there is written over.
        workspace.write_unless_edited(record, path, data.getvalue(), True)
        paths.append(path)
    record.data["substeps"] = list(pictures)
    if unwidened is not None:
        record.data["unwidened"] = list(unwidened)
    return paths
