"""The user's own block presets, in LBW's files: `lbwpresets.txt`, a line `NAME:v,v,…` each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import PresetError
from .block_weights import FORMS, PRESETS

FILE_NAME = "lbwpresets.txt"
# Below the file's own folder, LBW's, the folder of extensions, and the WebUI's
PLACES = (
    FILE_NAME,
    f"scripts/{FILE_NAME}",
    f"*/scripts/{FILE_NAME}",
    f"extensions/*/scripts/{FILE_NAME}",
)
FLUX_VALUES = 61  # of a preset for Flux, which LBW's own file brings
_PLACEHOLDERS = ("R", "U", "X")

logger = logging.getLogger(__name__)


def read_preset_file(text: str, name: str = FILE_NAME) -> dict[str, str]:
    """Name -> values, of a file in LBW's format.

    A line with '#' or without a known number of values is a comment.  Numbers that are too many or
    too few were hardly meant as one: they are logged as a warning.
    """
    presets = {}
    for line in text.splitlines():
        preset, colon, values = line.partition(":")
        pieces = values.split(",")
        if not colon or "#" in line:
            continue
        if len(pieces) in FORMS:
            presets[preset.strip()] = values.strip()
        elif len(pieces) not in (1, FLUX_VALUES) and all(
            _is_value(piece.strip()) for piece in pieces
        ):
            logger.warning(
                "%s: preset %r: found %d values, expected 12, 17, 20 or 26; it is left out",
                name,
                preset.strip(),
                len(pieces),
            )
    return presets


def _is_value(piece: str) -> bool:
    piece = piece.strip()
    if piece.startswith(_PLACEHOLDERS):
        return True
    try:
        float(piece)
    except ValueError:
        return False
    return True


def find_preset_files(folders: Iterable[Path]) -> list[Path]:
    """Every `lbwpresets.txt` of the folders.

    folders: a WebUI's, its folder of extensions, LBW's own, or the file's.
    """
    paths = [
        path
        for folder in folders
        for place in PLACES
        for path in sorted(folder.glob(place))
        if path.is_file()
    ]
    return list(dict.fromkeys(paths))


def gather_presets(
    folders: Iterable[Path], known: Mapping[str, str] = PRESETS, named: Iterable[Path] = ()
) -> dict[str, str]:
    """The known presets and those of the user's files; for the same name the later one counts.

    folders: where a file may be.
    named: where the user says that one is; searched last.
    Raises: PresetError, for a file that is missing there or cannot be read.
    """
    presets = dict(known)
    named = list(named)
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
                f"{path}: cannot be read: {error.strerror or error}; fix its permissions or move"
                " it away"
            ) from None
        presets.update(read_preset_file(text, path.name))
    return presets
