from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.errors import WildcardError, WorkspaceError
from lib_singlelora.files.text_file import read_text
from lib_singlelora.workspace.kohya_folders import read_caption

CASES = Path(__file__).parents[1] / "data" / "cases"
WORDS = "isabella, café dress"


def test_utf_8_is_read_with_and_without_a_mark(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "a.txt").write_text(f"{WORDS}\r\nmore\r\n", encoding=encoding, newline="")
        assert read_text(tmp_path / "a.txt") == f"{WORDS}\nmore\n"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (WORDS.encode("utf-16"), "UTF-16 text"),
        (b"\xfe\xff" + WORDS.encode("utf-16-be"), "UTF-16 text"),
        (WORDS.encode("utf-32"), "UTF-32 text"),
        ("isabella, girl".encode("utf-16-le"), "zero bytes"),
        ("isabella, girl".encode("utf-16-be"), "zero bytes"),
        (WORDS.encode("latin-1"), r"not UTF-8 \(position 13\)"),
        ("イザベラ, 少女".encode("shift-jis"), "not UTF-8"),
        ("伊莎贝拉, 少女".encode("gbk"), "not UTF-8"),
        (b"PK\x03\x04", "control character 0x03"),
        (WORDS.encode("latin-1").decode("utf-8", "replace").encode(), r"U\+FFFD"),
    ],
)
def test_whatever_else_is_named_with_what_to_do(tmp_path: Path, data: bytes, found: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(
        WorkspaceError, match=rf"a\.txt: found .*{found}.*, expected UTF-8; save it as UTF-8"
    ):
        read_text(tmp_path / "a.txt")
    with pytest.raises(WildcardError, match=found):
        read_text(tmp_path / "a.txt", WildcardError)


def test_a_caption_in_utf_16_is_refused_instead_of_trained_as_gibberish(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "face.png")
    (tmp_path / "face.txt").write_bytes((CASES / "cap_utf16.txt").read_bytes())
    with pytest.raises(WorkspaceError, match=r"face\.txt: found UTF-16 text"):
        read_caption(tmp_path / "face.png")
