"""Names that are valid in every file system and every caption."""

from __future__ import annotations

import re
import unicodedata

from ..errors import WorkspaceError

MAX_CHARACTERS = 64
MAX_BYTES = 120  # in UTF-8; file systems allow 255, and names get suffixes
# Reserved by Windows for devices, with any suffix; superscript digits count as digits there.
# Source: learn.microsoft.com/windows/win32/fileio/naming-a-file.
_RESERVED = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9])\s*(\..*)?",
    re.IGNORECASE | re.DOTALL,
)
# Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point, of these categories).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def check_name(name: str, what: str) -> str:
    """The name in NFC, so that systems which compose letters differently agree on it.

    Raises: WorkspaceError, for an empty name, a slash, comma, dot, emoji, control or invisible
    character, a name that Windows reserves, or more than 64 characters or 120 bytes.
    """
    name = unicodedata.normalize("NFC", name)
    allowed = "expected letters, digits, spaces, '-' or '_' (1 to 64 of them)"
    if _RESERVED.fullmatch(unicodedata.normalize("NFKC", name)):
        raise WorkspaceError(
            f"{what} {name!a}: Windows reserves this word for a device; choose another, such as 'my"
            f" {what}'"
        )
    if not name or name != name.strip() or len(name) > MAX_CHARACTERS:
        raise WorkspaceError(f"{what} {name[:80]!r}: {allowed}; choose another word")
    for index, character in enumerate(name):
        kind = unicodedata.category(character)
        letter = kind[0] in "LN" or (kind in ("Mn", "Mc") and index > 0) or character in " -_"
        if not letter or _INVISIBLE.match(character):
            raise WorkspaceError(
                f"{what} {name!r}: found {character!a}, {allowed}; choose another word"
            )
    if (size := len(name.encode("utf-8"))) > MAX_BYTES:
        raise WorkspaceError(
            f"{what} {name!r}: found {size} bytes in UTF-8, expected at most {MAX_BYTES}, as file"
            " names have little room; choose a shorter word"
        )
    return name


def is_repeats(text: str) -> bool:
    """True for the repeats in the name of a kohya folder: 1 to 999999, plain digits."""
    return text.isdecimal() and len(text) <= 6 and int(text) > 0
