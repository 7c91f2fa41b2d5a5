"""The user's own presets, in the files that LBW keeps them in: `lbwpresets.txt`, a line
`NAME:v,v,…` each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import PresetError
from .block_weights import FORMS, PRESETS

FILE_NAME = "lbwpresets.txt"
# In the folder itself, in LBW's own, in the folder of extensions, and in the WebUI's.
PLACES = (
    FILE_NAME,
    f"scripts/{FILE_NAME}",
    f"*/scripts/{FILE_NAME}",
    f"extensions/*/scripts/{FILE_NAME}",
)
FLUX = 61  # values of a preset for Flux, which LBW's own file brings
_SIGNS = ("R", "U", "X")

logger = logging.getLogger(__name__)


def read_preset_file(text: str, name: str = FILE_NAME) -> dict[str, str]:
    """Presets of a file in LBW's form, `NAME:v,v,…`; a line with '#' or a wrong number of values is
    a comment.

    A line of values, but too many or too few, was hardly meant as a comment, so a warning tells of
    it.
    """
    found = {}
    for line in text.splitlines():
        preset, colon, values = line.partition(":")
        pieces = values.split(",")
        if not colon or "#" in line:
            continue
        if len(pieces) in FORMS:
            found[preset.strip()] = values.strip()
        elif len(pieces) not in (1, FLUX) and all(_is_value(piece.strip()) for piece in pieces):
            logger.warning(
                "%s: preset %r: found %d values, expected 12, 17, 20 or 26; it is left out",
                name,
                preset.strip(),
                len(pieces),
            )
    return found


def _is_value(piece: str) -> bool:
    if piece.startswith(_SIGNS):
        return True
    try:
        float(piece)
    except ValueError:
        return False
    return True


def find_preset_files(folders: Iterable[Path]) -> list[Path]:
    """Every `lbwpresets.txt` of the folders, each a WebUI's, its folder of extensions, LBW's own,
    or the file's.
    """
    found = [
        path
        for folder in folders
        for place in PLACES
        for path in sorted(folder.glob(place))
        if path.is_file()
    ]
    return list(dict.fromkeys(found))


def gather_presets(
    folders: Iterable[Path], known: Mapping[str, str] = PRESETS, named: Iterable[Path] = ()
) -> dict[str, str]:
    """The known presets and those of the user's files; of one name the user's is taken, and of two
    files the later one's.

    folders: may hold a file.
    named: must hold one, for a person said so.
    Raises: PresetError, for a file that cannot be read, or that is not there.
    """
    presets, named = dict(known), list(named)
    for folder in named:
        if not find_preset_files([folder]):
            raise PresetError(
                f"{folder}: found no {FILE_NAME}, expected one there or in its scripts or"
                " extensions folder"
            )
    for path in find_preset_files([*folders, *named]):
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise PresetError(
                f"{path}: cannot be read: {error.strerror or error}; mend its rights or move it"
                " away"
            ) from None
        presets.update(read_preset_file(text, path.name))
    return presets
