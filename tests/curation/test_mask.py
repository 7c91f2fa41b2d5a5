"""The mask changed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.curation.mask import RED, change_mask, mask_overlay, replace_mask
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


@pytest.mark.parametrize(("add", "less"), [(True, False), (False, True)])
def test_strokes_on_a_reduced_picture_add_or_take_away(
    workspace: Workspace, add: bool, less: bool
) -> None:
    before = share(workspace)
    strokes = Image.new("L", (40, 60), 0)
    strokes.paste(255, (0, 0, 40, 20))  # the upper third, half of it outside the character
    change_mask(workspace, strokes, add)
    assert (share(workspace) < before) == less and abs(share(workspace) - before) > 0.05
    with Image.open(workspace.mask) as mask:
        assert mask.size == (80, 120)


def test_the_overlay_reddens_what_is_not_hers(workspace: Workspace) -> None:
    shown = mask_overlay(workspace, 60)
    assert shown.size == (40, 60) and shown.getpixel((20, 30)) == (0, 0, 0)
    red = shown.getpixel((2, 2))
    assert isinstance(red, tuple) and red[0] > 0.4 * RED[0]


def test_a_mask_of_another_size_is_refused_and_nothing_lost(workspace: Workspace) -> None:
    before = workspace.mask.read_bytes()
    with pytest.raises(
        WorkspaceError, match=r"found 10x10, expected the size of source/prepared\.png, 80x120"
    ):
        replace_mask(workspace, Image.new("L", (10, 10), 255))
    with pytest.raises(WorkspaceError, match="found strokes of 60x40"):
        change_mask(workspace, Image.new("L", (60, 40), 255), True)
    assert workspace.mask.read_bytes() == before
    replace_mask(workspace, Image.new("RGB", (80, 120), "white"))
    assert share(workspace) == 1
