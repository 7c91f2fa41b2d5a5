"""Results that the user keeps, with all that made them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WorkspaceError
from ..files.fileio import atomic, file_hash, fingerprint, is_own_file, read_json, write_json
from ..imaging.load import load_picture, picture_parameters
from ..library.choose import choose_lora, derived_files
from ..library.epochs import epoch_files, published_name
from ..settings.schema import Settings
from ..workspace.workspace import Workspace
from .inpaint import HOW

LORA_TAG = re.compile(r"<lora:([^:>]+):")


@dataclass(frozen=True)
class Accepted:
    """A kept picture.

    picture: the copy.
    how: what is known of its making; the same lies beside it as JSON.
    """

    picture: Path
    how: dict[str, Any]


def accept(settings: Settings, workspace: Workspace, pictures: Sequence[Path]) -> list[Accepted]:
    """Copy pictures to inpaint/accepted/, each with a JSON of what made it; earlier copies stay.

    Raises: PictureError, before anything is copied; WorkspaceError, when the disk is full.
    """
    notes = [(path, how_made(settings, workspace, path)) for path in pictures]
    kept = []
    with workspace.adding():  # no job touches what is kept
        for path, how in notes:
            name = f"{path.stem}-{fingerprint(file_hash(path))[:8]}{path.suffix.lower()}"
            target = workspace.inpaint / "accepted" / name
            if not is_own_file(target):
                with atomic(target) as file, path.open("rb") as picture:
                    shutil.copyfileobj(picture, file)
                write_json(target.with_suffix(".json"), how)
            kept.append(Accepted(target, how))
    return kept


def accepted(workspace: Workspace) -> list[Path]:
    """The pictures that were kept, by name."""
    paths = (workspace.inpaint / "accepted").glob("*.*")
    return sorted(
        path
        for path in paths
        if path.suffix != ".json" and not path.name.startswith(".") and is_own_file(path)
    )


def how_made(settings: Settings, workspace: Workspace, picture: Path) -> dict[str, Any]:
    """The origin of a picture: the note beside it, if any, and its generation parameters.

    Its keys `lora` and `lora_sha256` name the file of this workspace that drew it, where that is
    known.

    Raises: PictureError.
    """
    load_picture(picture)
    how: dict[str, Any] = {
        "picture": picture.name,
        "sha256": file_hash(picture),
        "parameters": picture_parameters(picture),
    }
    for note in (picture.with_suffix(".json"), picture.parent / HOW):
        values = _read_note(note)
        if values is not None:
            how = {**values, **{key: value for key, value in how.items() if value}}
            break
    if "lora" not in how and (tag := LORA_TAG.search(str(how["parameters"]))):
        names = {
            published_name(workspace, settings, path): path
            for path in epoch_files(workspace, settings).values()
        }
        names |= {path.stem: path for path in (*names.values(), *derived_files(workspace))}
        # A file with block weights in it is called after the one it was made from.
        longest_first = sorted(names, key=len, reverse=True)
        name = next((name for name in longest_first if tag[1].startswith(name)), "")
        how["lora"] = names[name].name if name else tag[1]
        if name:
            how["lora_sha256"] = file_hash(choose_lora(settings, workspace, name))
    return how


def _read_note(path: Path) -> dict[str, Any] | None:
    """The note beside a picture; None where there is none, or it is no JSON object."""
    try:
        values = read_json(path)
    except (OSError, WorkspaceError):
        return None
    return values if isinstance(values, dict) else None
