"""The pictures of a batch: a folder of them, or a table in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import PictureError, SettingsError, SingleLoraError, WorkspaceError
from ..files.names import check_name
from ..files.text_file import read_text
from ..imaging.load import load_picture
from ..settings.schema import Settings, declaration

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
COLUMNS = ("picture", "trigger", "class")


@dataclass(frozen=True)
class Entry:
    """One picture.

    trigger: also the name of its workspace.
    settings: its own, by dotted names.
    """

    picture: Path
    trigger: str
    class_token: str
    settings: Mapping[str, str] = field(default_factory=dict)


def read_list(path: Path, class_token: str) -> list[Entry]:
    """The pictures of a folder or a CSV file, each checked.

    class_token: of those that name none.
    Raises: WorkspaceError, PictureError, SettingsError, telling the line.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]
        entries = [Entry(file, file.stem, class_token) for file in files]
    else:
        entries = _table(path, class_token)
    if not entries:
        raise WorkspaceError(
            f"{path}: found no picture, expected a folder of pictures or a CSV file"
        )
    seen: dict[str, Path] = {}
    for entry in entries:
        _check(entry)
        other = seen.setdefault(entry.trigger.casefold(), entry.picture)
        if other is not entry.picture:
            raise SettingsError(
                f"{entry.picture}: found the trigger '{entry.trigger}', which {other.name} has too,"
                " expected one for each picture; name them in a CSV file with a column trigger"
            )
    return entries


def _check(entry: Entry) -> None:
    try:
        check_name(entry.trigger, "trigger")
        Settings.from_dict(
            {
                **entry.settings,
                "character.trigger": entry.trigger,
                "character.class_token": check_name(entry.class_token, "class"),
            }
        )
    except SingleLoraError as error:
        raise SettingsError(f"{entry.picture.name}: {error}") from None
    load_picture(entry.picture)


def _table(path: Path, class_token: str) -> list[Entry]:
    try:
        text = read_text(path)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: found no folder and no file that can be read ({error.strerror}), expected a"
            " folder of pictures or a CSV file"
        ) from None
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = [name.strip() for name in rows.fieldnames or ()]
    if "picture" not in columns:
        raise SettingsError(
            f"{path.name}: found the columns {', '.join(columns) or 'none'}, expected one called"
            f" picture, and perhaps {', '.join(COLUMNS[1:])} or settings such as training.rank"
        )
    for name in columns:
        if name not in COLUMNS:
            declaration(name)  # raises, with the nearest name
    rows.fieldnames = columns
    entries = []
    for line, row in enumerate(rows, 2):
        values = {name: (value or "").strip() for name, value in row.items() if name in columns}
        if not values["picture"]:
            raise PictureError(f"{path.name}, line {line}: found no picture, expected its path")
        picture = path.parent / values.pop("picture")
        trigger = values.pop("trigger", "") or picture.stem
        given = values.pop("class", "") or class_token
        settings = {name: value for name, value in values.items() if value}
        entries.append(Entry(picture, trigger, given, settings))
    return entries
