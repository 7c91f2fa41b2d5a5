"""The thumbnail beside each LoRA file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lib_singlelora.files.fileio import write_bytes
from lib_singlelora.imaging.load import read_rgb
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.stages.train_samples import THUMBNAIL, thumbnail
from lib_singlelora.workspace.workspace import Workspace


def test_each_file_has_the_source_as_it_is_by_then(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for epoch, colour in enumerate(("red", "red", "blue")):
        write_bytes(workspace.prepared, png_bytes(Image.new("RGB", (400, 800), colour)))
        thumbnail(tmp_path / f"{epoch}.safetensors", workspace)
        small = read_rgb(tmp_path / f"{epoch}.png")
        assert small.size == (THUMBNAIL // 2, THUMBNAIL)
        assert small.tobytes() == Image.new("RGB", small.size, colour).tobytes()


def test_a_thumbnail_that_is_there_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_bytes(workspace.prepared, png_bytes(Image.new("RGB", (64, 64), "red")))
    (tmp_path / "1.png").write_bytes(b"the user's")
    thumbnail(tmp_path / "1.safetensors", workspace)
    assert (tmp_path / "1.png").read_bytes() == b"the user's"
