"""The start of a workspace: its name is claimed by making the folder.

When a start fails, what this call made is removed, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConflictError, WorkspaceError
from ..files import writer_lock
from ..files.fileio import clear_temporaries, disk_error, file_hash, is_own_file, make_folder
from ..host import AskedPreset
from ..settings.schema import Settings
from ..workspace.preset_origin import PresetOrigin
from ..workspace.training_preset import set_by_hand, settle
from ..workspace.workspace import Workspace, is_vacant, is_workspace


def begin(
    root: Path,
    names: Iterable[str],
    picture: Path,
    trigger: str,
    class_token: str,
    asked: AskedPreset,
    values: Mapping[str, Any],
) -> str:
    """Take a picture into the first of these workspaces that is free or was begun with it.

    Returns its name as the file system keeps it: on Windows and macOS 'Elsa' is 'elsa', and one
    that exists is never taken for a new one.

    root: the folder of the workspaces.
    asked: the preset that the checkpoint asks for.
    values: settings by their dotted names.
    Raises: ConflictError, when none of the names can be had; WorkspaceError, PictureError,
        SettingsError; what this call made is removed then, and nothing else.
    """
    refused: ConflictError | None = None
    for name in names:
        folder = root / name
        new = _claimed(folder)
        try:
            if not new and not _may_begin(folder):
                raise ConflictError(
                    f"workspace {name!r}: found a folder of this name that is no workspace,"
                    " expected a free name; choose another name"
                )
            _take(Workspace(folder), picture, trigger, class_token, asked, values)
            return _stored_name(folder)
        except ConflictError as error:
            refused = error
        except BaseException:
            if new:
                _take_back(folder)
            raise
        if new:  # another call took it meanwhile; when it gives up too, the folder has no owner
            _take_back(folder)
    raise refused or ConflictError(
        f"{trigger}: found no name left for its workspace, expected one; name it yourself"
    )


def _claimed(folder: Path) -> bool:
    """True if this call, and no other, made the folder.  Raises: WorkspaceError."""
    try:
        make_folder(folder.parent)
        folder.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise disk_error(error, folder) from error
    return True


def _may_begin(folder: Path) -> bool:
    """True if an existing folder is a workspace, or empty; waits for a call that is starting it."""
    if is_workspace(folder) or is_vacant(folder):
        return True
    if not is_own_file(folder / writer_lock.LOCK):
        return False
    with writer_lock.writing(folder, "start"):
        source = folder / "source"
        clear_temporaries([source])
        with contextlib.suppress(OSError):  # what a killed start left
            source.rmdir()
        return is_workspace(folder) or is_vacant(folder)


def _take(
    workspace: Workspace,
    picture: Path,
    trigger: str,
    class_token: str,
    asked: AskedPreset,
    values: Mapping[str, Any],
) -> None:
    """Write picture and settings."""
    assigned = {**values, "character.trigger": trigger, "character.class_token": class_token}

    def change(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
        _refuse_another(workspace, saved, trigger)
        return set_by_hand(saved, origin, assigned)

    _refuse_another(workspace, workspace.load_settings(), trigger)
    if _holds(workspace, picture) and workspace.settings_text() is not None:
        settle(workspace, asked, change)  # nothing that a running job reads
        return
    with workspace.writing("start"):
        before = workspace.original()
        try:
            _take_picture(workspace, picture)
            settle(workspace, asked, change)
        except BaseException:
            taken = workspace.original()
            if before is None and taken is not None:
                taken.unlink(missing_ok=True)
            raise


def _refuse_another(workspace: Workspace, saved: Settings, trigger: str) -> None:
    if saved.character.trigger not in ("", trigger):
        raise ConflictError(
            f"workspace {workspace.root.name!r}: found the character '{saved.character.trigger}' in"
            f" it, expected '{trigger}'; choose another name"
        )


def _holds(workspace: Workspace, picture: Path) -> bool:
    original = workspace.original()
    return original is not None and file_hash(original) == file_hash(picture)


def _take_picture(workspace: Workspace, picture: Path) -> None:
    from ..stages.prepare import take_picture

    if workspace.original() is not None and not _holds(workspace, picture):
        raise ConflictError(
            f"workspace {workspace.root.name!r}: found another picture in it, expected the same one"
            " as before; choose another name"
        )
    take_picture(workspace, picture, force=False)


def _stored_name(folder: Path) -> str:
    """The folder's name as the file system keeps it.

    It may differ in case or in how letters are composed.
    """
    with contextlib.suppress(OSError):
        siblings = list(folder.parent.iterdir())
        if folder.name not in {path.name for path in siblings}:
            same = (path.name for path in siblings if path.is_dir() and path.samefile(folder))
            return next(same, folder.name)
    return folder.name


def _take_back(folder: Path) -> None:
    """Remove a folder that this call made, if it is still empty and no one else writes in it."""
    with (
        contextlib.suppress(OSError, WorkspaceError),
        writer_lock.writing(folder, "taking back", wait=0),
    ):
        source = folder / "source"
        clear_temporaries((folder, source))
        if source.is_dir():
            source.rmdir()
        if is_vacant(folder):
            for lock in folder.glob(".singlelora.*"):
                lock.unlink()
            folder.rmdir()
