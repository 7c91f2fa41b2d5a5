"""Files that appear whole or not at all, temporary files by their writers, JSON that anybody may
have written.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib_singlelora.errors import NotFoundError, WorkspaceError
from lib_singlelora.files import fileio
from lib_singlelora.files.fileio import (
    DAY,
    atomic,
    clear_temporaries,
    make_folder,
    pin,
    read_json,
    temporary_name,
    write_json,
    write_text,
)

needs_modes = pytest.mark.skipif(os.name == "nt", reason="Windows has no umask to speak of")


@needs_modes
def test_new_files_have_the_mode_that_the_umask_gives_and_the_umask_is_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o027)
    touched: list[int] = []
    try:
        with monkeypatch.context() as patched:
            # It is the whole process's: while it is set to be read, every other thread's new files
            # are open to all.
            patched.setattr(os, "umask", lambda mask: touched.append(mask) or 0o027)
            write_text(tmp_path / "a.txt", "x")
            write_text(tmp_path / "a.txt", "y")
        assert touched == []
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "victim").read_text() == "mine" and not (tmp_path / "link").is_symlink()


def test_a_folder_that_was_deleted_is_not_brought_back_by_a_write(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    pin(root)
    write_text(root / "model" / "a.txt", "x")
    (root / "model" / "a.txt").unlink()
    (root / "model").rmdir()
    root.rmdir()
    for write in (
        lambda: write_text(root / "model" / "a.txt", "x"),
        lambda: make_folder(root / "log" / "deep"),
    ):
        with pytest.raises(NotFoundError, match="deleted or replaced"):
            write()
    assert not root.exists()


def test_only_what_a_dead_process_of_ours_left_is_cleared(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = temporary_name()
    number = str(os.getpid())
    names = {
        "of the dead": own.replace(f"-{number}-", f"-{dead.pid}-", 1),
        "of a process that had our number": own.replace(fileio._PROCESS, "0" * 8),
    }
    kept = {
        "being written here": own,
        "being written by a living process": own.replace(f"-{number}-", f"-{child.pid}-", 1),
        "of another machine": own.replace(fileio._MACHINE, "f" * 8),
        "the user's": ".notes.tmp",
        "of an editor": ".settings.json.x1.tmp",
        "like ours": ".singlelora-mine.tmp",
    }
    for name in (*names.values(), *kept.values()):
        (tmp_path / name).write_text("half")
    try:
        clear_temporaries([tmp_path])
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept.values())
        old = time.time() - DAY - 60
        os.utime(tmp_path / kept["of another machine"], (old, old))
        clear_temporaries([tmp_path])
        assert not (tmp_path / kept["of another machine"]).exists()
    finally:
        child.communicate(b"\n")


def test_half_characters_are_written_and_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"file": "\udc80.png"})
    assert read_json(tmp_path / "a.json") == {"file": "\udc80.png"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe{", "not UTF-8 at 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 10_000, "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_what_is_no_json_is_one_clear_line(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(WorkspaceError, match=told) as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


@needs_modes
def test_json_is_not_read_through_a_link_nor_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("link.json", "pipe.json"):
        with pytest.raises(WorkspaceError, match="expected"):
            read_json(tmp_path / name)


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as file:
        file.write(b"half")
        raise RuntimeError("power cut")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("refusals", [2, 9])
def test_a_file_that_windows_holds_for_a_reader_is_replaced_when_it_is_let_go(
    tmp_path: Path, refusals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another system's refusals are played; the files are real."""
    path = tmp_path / "log.json"
    plain = Path.replace
    left = [refusals]
    write_text(path, "old")

    def replace(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "in use")
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(fileio, "PATIENCE", (0.0,) * 4)
    if refusals < 5:
        write_text(path, "new")
    else:
        with pytest.raises(WorkspaceError, match="permission denied"):
            write_text(path, "new")
    assert path.read_text() == ("new" if refusals < 5 else "old")
    assert [each.name for each in tmp_path.iterdir()] == ["log.json"]
