"""Text files from any editor: UTF-8 is read, other encodings are refused by name."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from ..errors import SingleLoraError, WorkspaceError

# Longer marks first: UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
BOM = "\ufeff"
MAX_BYTES = 16 * 2**20  # more than any caption or list of wildcards needs


def read_text(path: Path, error: type[SingleLoraError] = WorkspaceError) -> str:
    """The text of a UTF-8 file without byte order mark, with `\\n` as line ends.

    error: the type to raise.
    Raises: error, for another encoding, a file that is not text, too large or unreadable.
    """
    try:
        data = read_bytes(path, error)
    except OSError as failure:
        raise error(
            f"{path}: cannot be read ({failure.strerror}); fix it or take it away"
        ) from None
    text = decode(data, path, error).removeprefix(BOM)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path, error: type[SingleLoraError] = WorkspaceError) -> bytes:
    """The bytes of a text file.  Raises: error, if it is too large; OSError."""
    # A sparse file of gigabytes would fill the memory
    if (size := path.stat().st_size) > MAX_BYTES:
        raise error(
            f"{path}: found {size >> 20} MB, expected a text of at most {MAX_BYTES >> 20} MB; take"
            " it away"
        )
    return path.read_bytes()


def decode(data: bytes, path: Path, error: type[SingleLoraError] = WorkspaceError) -> str:
    """The text of a file's bytes, including the byte order mark.

    Raises: error, as `read_text`.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            raise _refusal(error, path, f"{name} text, not UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise _refusal(
            error, path, f"a byte that is not UTF-8 (position {failure.start})"
        ) from None
    if "\x00" in text:  # UTF-16 without a mark is valid UTF-8 as long as its letters are ASCII
        raise _refusal(
            error,
            path,
            f"zero bytes, as UTF-16 text has and not UTF-8 (position {text.index(chr(0))})",
        )
    if control := _CONTROL.search(text):
        raise _refusal(
            error,
            path,
            f"the control character {ord(control[0]):#04x}, which text does not contain",
        )
    if "\ufffd" in text:
        raise _refusal(error, path, "the character U+FFFD, where an earlier program lost letters")
    return text


def _refusal(error: type[SingleLoraError], path: Path, found: str) -> SingleLoraError:
    return error(f"{path}: found {found}, expected UTF-8; save it as UTF-8")
