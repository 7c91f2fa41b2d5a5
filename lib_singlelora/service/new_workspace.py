"""How a character's workspace begins: a name is claimed by making its folder, and only what this
call made is taken back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConflictError, WorkspaceError
from ..files import writer_lock
from ..files.fileio import clear_temporaries, disk_error, file_hash, is_own_file, make_folder
from ..settings.schema import Settings
from ..workspace.workspace import Workspace, is_vacant, is_workspace


def begin(
    root: Path,
    names: Iterable[str],
    picture: Path,
    trigger: str,
    class_token: str,
    preset: Callable[[], str],
    values: Mapping[str, Any],
) -> str:
    """Take a picture into the first workspace of these names that is free or was begun with it;
    gives its name.

    root: the folder of the workspaces.
    preset: the training preset of a new one, asked only then.
    values: settings by their dotted names.  The file system says which names are the same: on
        Windows and macOS 'Elsa' is 'elsa', and one that is there is never taken for a new one.

    Raises: ConflictError, when none of the names can be had; WorkspaceError, PictureError,
    SettingsError: what this call made is gone then, and nothing else.
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
            _take(Workspace(folder), picture, trigger, class_token, preset, values)
            return _stored_name(folder)
        except ConflictError as error:
            refused = error
        except BaseException:
            if new:
                _take_back(folder)
            raise
        if new:  # another call took it meanwhile; when it gives up too, the folder is of nobody
            _take_back(folder)
    raise refused or ConflictError(
        f"{trigger}: found no name left for its workspace, expected one; name it yourself"
    )


def _claimed(folder: Path) -> bool:
    """Whether this call, and no other, made the folder.  Raises: WorkspaceError."""
    try:
        make_folder(folder.parent)
        folder.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise disk_error(error, folder) from error
    return True


def _may_begin(folder: Path) -> bool:
    """Whether a folder that was there is a workspace, or empty; one that another call is just
    starting is waited for.
    """
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
    preset: Callable[[], str],
    values: Mapping[str, Any],
) -> None:
    own = {**values, "character.trigger": trigger, "character.class_token": class_token}

    def change(saved: Settings) -> Settings:
        _refuse_another(workspace, saved, trigger)
        if not saved.character.trigger and "training.preset" not in own:
            saved = saved.with_values({"training.preset": preset()})
        return saved.with_values(own)

    _refuse_another(workspace, workspace.load_settings(), trigger)
    if _holds(workspace, picture) and workspace.settings_text() is not None:
        workspace.change_settings(change)  # nothing that a running job reads
        return
    with workspace.writing("start"):
        before = workspace.original()
        try:
            _take_picture(workspace, picture)
            workspace.change_settings(change)
        except BaseException:
            made = workspace.original()
            if before is None and made is not None:
                made.unlink(missing_ok=True)
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
    """The folder's name as the file system keeps it, which may differ in case or in how letters are
    composed.
    """
    with contextlib.suppress(OSError):
        there = list(folder.parent.iterdir())
        if folder.name not in {each.name for each in there}:
            return next(
                (each.name for each in there if each.is_dir() and each.samefile(folder)),
                folder.name,
            )
    return folder.name


def _take_back(folder: Path) -> None:
    """Remove a folder that this call made, if nobody put anything into it and nobody else is at
    work in it.
    """
    with (
        contextlib.suppress(OSError, WorkspaceError),
        writer_lock.writing(folder, "taking back", wait=0),
    ):
        source = folder / "source"
        clear_temporaries((folder, source))
        if source.is_dir():
            source.rmdir()
        if is_vacant(folder):
            for each in folder.glob(".singlelora.*"):
                each.unlink()
            folder.rmdir()
