"""Loopback: a picture that a LoRA drew becomes a further source in the next version of a data set.

A version is a workspace of its own beside the last one: the same settings, picture, crops, captions
and regularization set, and in `generated/1`, `generated/2` … a small workspace for each further
source, with its own mask, crops, captions and repeats. `lineage.json` says what came from where.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import ConflictError, WorkspaceError
from ..files import writer_lock
from ..files.fileio import (
    atomic,
    clear_temporaries,
    disk_error,
    is_link,
    make_folder,
    read_json,
    temporary_name,
    write_json,
)
from ..files.names import check_name
from ..library.choose import choose_lora
from ..workspace.repeats import adopt_repeats, remember_repeats
from ..workspace.stage_record import Map, check
from ..workspace.workspace import Workspace, is_vacant, is_workspace
from .accept import how_made
from .caption import caption
from .context import StageContext
from .crop import crop
from .prepare import prepare

COPIED = ("settings.json", "source", "image", "reg", "generated")
RECORDS = ("prepare", "crop", "caption", "regularize", "pace", "edits")
LINEAGE = "lineage.json"
START = "lineage/start.safetensors"
SOURCE = {"sha256": str, "repeats?": int, "*": None}
SHAPE = {
    "version?": int,
    "parent?": str,
    "generated?": Map(SOURCE, "[0-9]{1,6}"),
    "start?": {"lora": str, "from": str},
    "*": None,
}

Start = Literal["zero", "last"]


@dataclass(frozen=True)
class Version:
    """A version with the picture that was added.

    workspace: the version's folder.
    number: 2 for the first loopback.
    crops: of the added picture.
    folder: the added picture's own workspace.
    lineage: the file that says what came from where.
    """

    workspace: Path
    number: int
    crops: tuple[Path, ...]
    folder: Path
    lineage: Path


def loopback(
    context: StageContext,
    picture: Path,
    into: Path | None = None,
    repeats: int = 0,
    start: Start = "zero",
) -> Version:
    """Add a picture to the next version, which is made first if it does not exist.

    The same picture is added once.

    into: folder of the version, default beside the workspace.
    repeats: of the picture's crops, 0 for half of the others'.
    start: "zero", or "last" to train the version from the LoRA that is used now.
    Raises: PictureError; LoraFileError, without a LoRA to start from; SettingsError; ConflictError,
        for a folder that holds something else, or while another writer holds either workspace;
        WorkspaceError; JobCancelled.
    """
    settings = context.settings
    workspace = context.workspace
    if repeats:
        # A mistake is reported before a folder is made.
        settings.with_values({"training.repeats": repeats})
    how = how_made(settings, workspace, picture)
    begun_from = choose_lora(settings, workspace) if start == "last" else None
    version = version_at(workspace, into or next_version(workspace))
    with version.writing("loopback"):
        return _added(context, version, picture, how, begun_from, repeats, start)


def version_at(workspace: Workspace, root: Path) -> Workspace:
    """The version in a folder, made from the workspace if there is none.

    Raises: ConflictError, for a folder that holds something else; WorkspaceError.
    """
    if (root / "settings.json").exists():
        return Workspace(root, create=False)
    return _copied(workspace, root)


def own_lineage(version: Workspace, workspace: Workspace) -> dict[str, Any]:
    """The lineage of a version of this workspace.

    Raises: ConflictError, for a version of another one; WorkspaceError.
    """
    lineage = lineage_of(version)
    if lineage.get("parent") != _between(workspace.root, version.root):
        raise ConflictError(
            f"{version.root}: found a workspace that was not made from {workspace.root.name},"
            " expected a free folder or its next version; choose another one with --into"
        )
    return lineage


def number_of(lineage: dict[str, Any], sha256: str) -> int:
    """The number of an added source: the one it has, else the next."""
    numbers = {source["sha256"]: int(number) for number, source in lineage["generated"].items()}
    return numbers.get(sha256, max(numbers.values(), default=0) + 1)


def write_lineage(
    version: Workspace, workspace: Workspace, lineage: dict[str, Any], begun_from: Path | None
) -> None:
    """Write where the version comes from, and let its training start there.

    begun_from: the LoRA to go on from; None where that stays as it was.
    """
    if begun_from is not None:
        _copy_file(begun_from, version.root / START)
        lineage["start"] = {"lora": begun_from.name, "from": workspace.root.name}
    write_json(version.root / LINEAGE, lineage)
    version.change_settings(
        lambda saved: saved.with_values(
            {"training.start_from": START if "start" in lineage else ""}
        )
    )


def _added(
    context: StageContext,
    version: Workspace,
    picture: Path,
    how: dict[str, Any],
    begun_from: Path | None,
    repeats: int,
    start: Start,
) -> Version:
    """Add the picture to a version that is held."""
    settings = context.settings
    workspace = context.workspace
    lineage = own_lineage(version, workspace)
    number = number_of(lineage, how["sha256"])
    earlier_repeats = lineage["generated"].get(str(number), {}).get("repeats")
    repeats = repeats or earlier_repeats or max(1, settings.training.repeats // 2)
    values = {"training.repeats": repeats, "training.start_from": ""}
    source_settings = settings.with_values(values)
    source = Workspace(version.root / "generated" / str(number))
    source.save_settings(source_settings)
    source_settings, _ = adopt_repeats(source_settings, source)
    repeats = source_settings.training.repeats
    source_context = replace(context, settings=source_settings, workspace=source)
    prepare(source_context, picture)
    crops = crop(source_context).crops
    remember_repeats(source_settings, source)
    caption(source_context)
    lineage["generated"][str(number)] = {**how, "repeats": repeats}
    write_lineage(version, workspace, lineage, begun_from)
    version.events.write(
        "loopback", picture=picture.name, number=number, repeats=repeats, start=start
    )
    return Version(
        version.root, int(lineage["version"]), crops, source.root, version.root / LINEAGE
    )


def next_version(workspace: Workspace) -> Path:
    """The folder of the version after this one: `isabella` is followed by `isabella-v2`."""
    number = lineage_of(workspace)["version"] + 1
    name = re.sub(r"-v\d+$", "", workspace.root.name)
    return workspace.root.with_name(check_name(f"{name}-v{number}", "workspace"))


def _copied(workspace: Workspace, root: Path) -> Workspace:
    """A new version, whole or not at all, under a name that is free.  Raises: WorkspaceError."""
    taken = ConflictError(
        f"{root}: found something that is no workspace, expected a free name; choose another with"
        " --into"
    )
    if root.exists() and not is_vacant(root):
        raise taken
    lineage_of(workspace)  # a damaged one is told before anything is made
    copy = root.parent / temporary_name()
    try:
        make_folder(root.parent)
        clear_temporaries([root.parent])
        copy.mkdir()
        with writer_lock.writing(workspace.root, "copying it for the next version"):
            carry_over(workspace, copy, copy_file)
        found_lineage(workspace, copy, root)
        if root.exists():
            root.rmdir()
        copy.rename(root)  # fails if another call has made it meanwhile
    except OSError as error:
        if not is_workspace(root):
            raise (
                taken if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else disk_error(error, root)
            ) from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return Workspace(root, create=False)


def carry_over(
    base: Workspace,
    target: Path,
    put: Callable[[Path, Path], object],
    parts: Sequence[str] = COPIED,
) -> None:
    """Fill the folder of a version made from `base` with what was made before training.

    put: called with each file and where it goes: copies or links it.  Links are left out, as they
        would bring in files from outside, and so are temporary files.

    Raises: OSError.
    """

    def carry(source: Path, target: Path) -> None:
        if not os.path.lexists(source) or is_link(source):
            return
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            for path in source.iterdir():
                if not path.name.startswith(".singlelora"):
                    carry(path, target / path.name)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            put(source, target)

    for part in (*parts, *(f"log/{stage}.json" for stage in RECORDS)):
        carry(base.root / part, target / part)


def copy_file(source: Path, target: Path) -> None:
    """Copy one file with its times; a link stays one.  Raises: OSError."""
    shutil.copy2(source, target, follow_symlinks=False)


def found_lineage(base: Workspace, folder: Path, root: Path) -> None:
    """Say in `folder`, which will be `root`, what version it is and of which workspace.

    What was generated for an earlier version stays in the later ones.

    Raises: OSError; WorkspaceError, for a damaged lineage of `base`.
    """
    parent = lineage_of(base)
    write_json(
        folder / LINEAGE,
        {
            "version": parent["version"] + 1,
            "parent": _between(base.root, root),
            "generated": parent["generated"],
        },
    )


def lineage_of(workspace: Workspace) -> dict[str, Any]:
    """The origin of a version: version, parent, generated, start.

    `generated` says by number how each added picture was made, and its repeats.  A workspace that
    was made from a picture is version 1 and has neither parent nor start.

    Raises: WorkspaceError, for a damaged file.
    """
    path = workspace.root / LINEAGE
    try:
        lineage = read_json(path)
        check(lineage, SHAPE, LINEAGE)
    except FileNotFoundError:
        lineage = {}
    except WorkspaceError as error:
        raise WorkspaceError(
            f"{path}: {error}; it says what the version came from: fix it, or make the version"
            " again"
        ) from None
    return {"version": 1, "generated": {}, **lineage}


def _between(workspace: Path, version: Path) -> str:
    """The path from a version to the workspace it was made from."""
    try:
        return Path(os.path.relpath(workspace, version)).as_posix()
    except ValueError:  # on another drive
        return str(workspace)


def _copy_file(source: Path, target: Path) -> None:
    with atomic(target) as file, source.open("rb") as given:
        shutil.copyfileobj(given, file)
