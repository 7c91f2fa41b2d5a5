"""The mask changed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.curation.mask import replace_mask
from lib_singlelora.errors import WorkspaceError
from lib_singlelora.files.fileio import write_bytes
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "w")
    mask = Image.new("L", (80, 120), 0)
    mask.paste(255, (20, 20, 60, 100))
    write_bytes(made.prepared, png_bytes(Image.new("RGB", (80, 120), (0, 0, 0))))
    write_bytes(made.mask, png_bytes(mask))
    return made


def share(workspace: Workspace) -> float:
    with Image.open(workspace.mask) as mask:
        return float(np.asarray(mask).mean() / 255)


def test_a_mask_of_another_size_is_refused_and_nothing_lost(workspace: Workspace) -> None:
    before = workspace.mask.read_bytes()
    with pytest.raises(
        WorkspaceError, match=r"found 10x10, expected the size of source/prepared\.png, 80x120"
    ):
        replace_mask(workspace, Image.new("L", (10, 10), 255))
    assert workspace.mask.read_bytes() == before
    replace_mask(workspace, Image.new("RGB", (80, 120), "white"))
    assert share(workspace) == 1
