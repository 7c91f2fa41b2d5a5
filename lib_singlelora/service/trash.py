"""Workspaces that were deleted, and can be had back."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from ..errors import ConflictError, NotFoundError
from ..files.fileio import disk_error, make_folder, move
from ..files.names import check_name
from .service import Service
from .steps import workspace_and_word

FOLDER = ".deleted"
KEPT = 7 * 24 * 3600  # seconds that a deleted workspace can be had back


def delete(service: Service, name: str) -> None:
    """Put a workspace aside; `restore` brings it back for a week.

    Raises: NotFoundError; ConflictError, while a job waits for it or is at work on it.
    """
    workspace = service.workspace(name)
    name = workspace.root.name
    for ticket in service.runner.tickets:
        if workspace_and_word(ticket)[0] == name and ticket.job.state in ("waiting", "running"):
            raise ConflictError(
                f"{name}: found the job '{ticket.job.title}' on it, expected none; cancel it first"
            )
    folder = service.root / FOLDER
    forget_old(service)
    with workspace.writing("deleting"):
        pass  # nobody else is at work on it, another program included
    try:
        make_folder(folder)
        target = folder / name
        if target.exists():  # deleted, made anew and deleted again: the last one can be had back
            shutil.rmtree(target)
        move(workspace.root, target)
    except OSError as error:
        raise disk_error(error, workspace.root) from error


def restore(service: Service, name: str) -> None:
    """Bring a deleted workspace back.

    Raises: NotFoundError, for none of this name; ConflictError, where another has its name.
    """
    name = check_name(name, "workspace")
    folder = service.root / FOLDER / name
    if not (folder / "settings.json").is_file():
        raise NotFoundError(
            f"workspace {name!r}: found none of this name among the deleted ones, expected one;"
            " they are kept for a week"
        )
    target = service.root / name
    if target.exists():
        raise ConflictError(
            f"workspace {name!r}: found another of this name, expected the name to be free; delete"
            " or rename the other one first"
        )
    try:
        move(folder, target)
    except OSError as error:
        raise disk_error(error, folder) from error


def forget_old(service: Service, now: float | None = None) -> None:
    """Delete for good what was put aside longer ago than `KEPT`.  now: seconds since 1970."""
    folder = service.root / FOLDER
    moment = time.time() if now is None else now
    for path in _entries(folder):
        with contextlib.suppress(OSError):
            # The folder's own time is that of the last file made in it, which may be years old;
            # that of its change is when it was moved here.
            if moment - path.stat().st_ctime > KEPT:
                shutil.rmtree(path)


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []
