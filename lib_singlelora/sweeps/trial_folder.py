"""A trial's workspace: a version of the character's, which shares what was made before training."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from ..files.fileio import (
    clear_temporaries,
    disk_error,
    file_hash,
    fingerprint,
    make_folder,
    temporary_name,
)
from ..settings.schema import Settings
from ..stages.loopback import COPIED, carry_over, copy_file, found_lineage
from ..workspace.workspace import Workspace

SHARED = tuple(part for part in COPIED if part != "settings.json")


def trial_workspace(base: Workspace, root: Path, settings: Settings, checkpoint: Path) -> Workspace:
    """The trial's workspace, made if there is none, with these settings.

    Crops, captions and pictures of the class are the same files on disk where the file system has
    hard links; every file of a workspace is replaced, never changed in place.
    Raises: WorkspaceError.
    """
    if not (root / "settings.json").exists():
        _linked(base, root)
    trial = Workspace(root)
    trial.save_settings(settings, checkpoint)
    return trial


def _linked(base: Workspace, root: Path) -> None:
    """Make the folder, whole or not at all."""
    copy = root.parent / temporary_name()
    try:
        make_folder(root.parent)
        clear_temporaries([root.parent])
        copy.mkdir()
        carry_over(base, copy, _link, SHARED)
        found_lineage(base, copy, root)
        with contextlib.suppress(FileNotFoundError):  # begun by a worker that died
            shutil.rmtree(root)
        copy.rename(root)
    except OSError as error:
        raise disk_error(error, root) from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """Link a file, or copy it.  Raises: OSError."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        copy_file(source, target)


def dataset_fingerprint(base: Workspace, settings: Settings) -> str:
    """A hash of all that the trials share: pictures, captions, and those of the class."""
    folders = [base.image_folder(settings), base.reg_folder(settings), base.root / "generated"]
    files = sorted(
        path for folder in folders if folder.is_dir() for path in folder.rglob("*") if is_data(path)
    )
    return fingerprint([(path.name, file_hash(path)) for path in files])


def is_data(path: Path) -> bool:
    """True for a picture or a caption that training reads."""
    return path.is_file() and path.suffix in (".png", ".txt") and not path.name.startswith(".")
