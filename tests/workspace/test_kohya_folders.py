from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.errors import TrainingError
from lib_singlelora.workspace.kohya_folders import (
    TrainingFolder,
    list_pictures,
    read_caption,
    training_folders,
    write_caption,
)


def test_repeats_and_class_come_from_the_folder_s_name() -> None:
    folder = TrainingFolder.from_path(Path("5_isabella of_spain"))
    assert (folder.repeats, folder.name) == (5, "isabella of_spain")


@pytest.mark.parametrize(
    "name", ["isabella", "_isabella", "0_isabella", "5_", "five_isabella", "-1_isabella"]
)
def test_another_name_is_one_clear_line(name: str) -> None:
    with pytest.raises(TrainingError, match="such as '5_isabella'"):
        TrainingFolder.from_path(Path(name))


def test_folders_without_repeats_are_left_out(tmp_path: Path) -> None:
    for name in ("2_b", "10_a", "rejected", "0_zero"):
        (tmp_path / name).mkdir()
    (tmp_path / "3_file").touch()
    assert [(folder.repeats, folder.name) for folder in training_folders(tmp_path)] == [
        (10, "a"),
        (2, "b"),
    ]
    assert training_folders(tmp_path / "missing") == []


def test_pictures_are_listed_by_name_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    for name in ("a.txt", ".a.png", ".b.png.tmp", "notes.md"):
        (tmp_path / name).touch()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.jpg", "b.PNG", "c.webp"]


def test_a_caption_overrides_the_folder_s_class(tmp_path: Path) -> None:
    path = tmp_path / "5_isabella"
    path.mkdir()
    picture = path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    folder = TrainingFolder.from_path(path)
    assert folder.caption(picture) == "isabella"
    write_caption(picture, "isabella, girl, ^_^")
    assert folder.caption(picture) == "isabella, girl, ^_^"


def test_kohya_s_own_caption_suffix_is_read_and_kept(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    (tmp_path / "a.caption").write_text("old")
    assert read_caption(picture) == "old"
    write_caption(picture, "new")
    assert (tmp_path / "a.caption").read_text() == "new\n"
    assert not (tmp_path / "a.txt").exists()
