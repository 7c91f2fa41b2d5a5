"""Prepare: the user's picture, upright, in RGB, large enough, on a plain background, with a foreground mask."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import PictureError, WorkspaceError
from ..host import Host
from ..imaging.background import flatten, foreground_mask
from ..imaging.load import load_picture
from ..imaging.png import png_bytes
from ..imaging.upscale import enlarge
from ..jobs import Job, Progress
from ..settings import Settings
from ..workspace import Workspace, atomic, file_hash, fingerprint
from .continuing import begin, finish

BACKGROUNDS = {"white": (255, 255, 255), "grey": (128, 128, 128)}


@dataclass(frozen=True)
class Prepared:
    """source: the prepared picture.  mask: its foreground (L).  notes: what the user should know."""

    source: Path
    mask: Path
    notes: tuple[str, ...] = field(default=())


def prepare(settings: Settings, workspace: Workspace, host: Host, job: Job, picture: Path | None = None,
            force: bool = False) -> Prepared:
    """Take a picture into the workspace and prepare it.

    Raises: PictureError, for a file that cannot be used; WorkspaceError, when the workspace holds another picture.
    """
    original = take_picture(workspace, picture, force)
    options = settings.prepare
    record, done = begin(workspace, "prepare", fingerprint(vars(options), file_hash(original)), force)
    if done and workspace.prepared.exists() and workspace.mask.exists():
        return Prepared(workspace.prepared, workspace.mask, tuple(record.data.get("notes", ())))
    job.report(Progress("prepare", 0, 3, "reading the picture"))
    loaded = load_picture(original)
    notes = list(loaded.notes)
    job.raise_if_cancelled()
    job.report(Progress("prepare", 1, 3, "enlarging"))
    upscaler = next(iter(host.upscalers()), None)
    image, alpha, note = enlarge(loaded.image, loaded.alpha, options.long_side, upscaler)
    notes += [note] if note else []
    job.raise_if_cancelled()
    job.report(Progress("prepare", 2, 3, "finding the character"))
    found = foreground_mask(image, alpha)
    notes.append(f"foreground: {found.method}")
    if options.background != "keep" and found.reliable:
        image = flatten(image, found.mask, BACKGROUNDS[options.background])
    job.raise_if_cancelled()
    for path, result in ((workspace.prepared, image), (workspace.mask, found.mask)):
        if not workspace.write_unless_edited(record, path, png_bytes(result), force):
            notes.append(f"{path.name} was edited by hand and is kept; --force makes it anew")
    record.data["notes"] = notes
    finish(workspace, record, [workspace.prepared, workspace.mask])
    job.report(Progress("prepare", 3, 3, "; ".join(notes), pictures=(workspace.prepared,)))
    return Prepared(workspace.prepared, workspace.mask, tuple(notes))


def take_picture(workspace: Workspace, picture: Path | None, force: bool) -> Path:
    """Copy the picture to source/original.*; an equal one already there is left."""
    present = workspace.original()
    if picture is None:
        if present is None:
            raise WorkspaceError(f"{workspace.root}: found no picture in source/, expected original.*; "
                                 "call 'prepare PICTURE' first")
        return present
    if not picture.is_file():
        raise PictureError(f"{picture}: found {'a folder' if picture.is_dir() else 'no such file'}, expected a picture; "
                           "check the path")
    load_picture(picture)  # refused before anything is written
    if present is not None:
        if file_hash(present) == file_hash(picture):
            return present
        if not force:
            raise WorkspaceError(f"{workspace.root}: found another picture in it ({present.name}), expected the same one as "
                                 "before; choose another --workspace, or --force to replace it")
    target = workspace.root / "source" / f"original{picture.suffix.lower() or '.png'}"
    with atomic(target) as file, picture.open("rb") as given:
        shutil.copyfileobj(given, file)
    if present is not None and present != target:
        present.unlink()
    return target
