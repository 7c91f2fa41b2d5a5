"""Loopback: a picture that a LoRA drew becomes a further source in the next version of the dataset.

A version is a workspace of its own beside the last one: the same settings, picture, crops, captions and regularization set, and
in `generated/1`, `generated/2` … a small workspace for each further source, with its own mask, crops, captions and repeats.
`lineage.json` says what came from where.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import WorkspaceError
from ..fileio import atomic, disk_error, write_json
from ..host import Host
from ..jobs import Job
from ..names import check_name
from ..settings import Settings
from ..workspace import Workspace
from .accepting import how_made
from .caption import caption
from .choosing import choose_lora
from .crop import crop
from .prepare import prepare

COPIED = ("settings.json", "source", "image", "reg", "generated")
RECORDS = ("prepare", "crop", "caption", "regularize", "pace", "edits")
START = "lineage/start.safetensors"

Start = Literal["zero", "last"]


@dataclass(frozen=True)
class Version:
    """workspace: of the version.  number: 2 for the first loopback.  folder: the added picture's own workspace.  crops: its."""

    workspace: Path
    number: int
    crops: tuple[Path, ...]
    folder: Path
    lineage: Path


def loopback(settings: Settings, workspace: Workspace, host: Host, job: Job, picture: Path, into: Path | None = None,
             repeats: int = 0, start: Start = "zero", force: bool = False) -> Version:
    """Add a picture to the next version, which is made first where it is not there yet; twice the same picture is once.

    into: folder of the version, default beside the workspace.  repeats: of the picture's crops, 0 for half of the others'.
    start: whether the version trains from zero or goes on from the LoRA that is used now.
    Raises: PictureError, WorkspaceError (the folder holds something else), LoraFileError (nothing to start from); JobCancelled.
    """
    how = how_made(settings, workspace, picture)
    begun_from = choose_lora(settings, workspace) if start == "last" else None
    root = into or next_version(workspace)
    version = Workspace(root, create=False) if (root / "settings.json").exists() else _copied(workspace, root)
    lineage = _lineage(version)
    if lineage.get("parent") != _from(workspace, version):
        raise WorkspaceError(f"{version.root}: found a workspace that was not made from {workspace.root.name}, expected a free "
                             "folder or its next version; choose another one with --into")
    taken = {source["sha256"]: int(number) for number, source in lineage["generated"].items()}
    number = taken.get(how["sha256"], max(taken.values(), default=0) + 1)
    shown = repeats or lineage["generated"].get(str(number), {}).get("repeats") or max(1, settings.training.repeats // 2)
    own = settings.with_values({"training.repeats": shown, "training.start_from": ""})
    source = Workspace(version.root / "generated" / str(number))
    source.save_settings(own)
    prepare(own, source, host, job, picture, force)
    crops = crop(own, source, host, job, force).crops
    caption(own, source, host, job, force)
    lineage["generated"][str(number)] = {**how, "repeats": shown}
    if begun_from is not None:
        _copy_file(begun_from, version.root / START)
        lineage["start"] = {"lora": begun_from.name, "from": workspace.root.name}
    write_json(version.root / "lineage.json", lineage)
    version.save_settings(version.load_settings().with_values({"training.start_from": START if "start" in lineage else ""}))
    version.events.write("loopback", picture=picture.name, number=number, repeats=shown, start=start)
    return Version(version.root, int(lineage["version"]), crops, source.root, version.root / "lineage.json")


def next_version(workspace: Workspace) -> Path:
    """The folder of the version after this one: `isabella` is followed by `isabella-v2`."""
    number = int(_lineage(workspace).get("version", 1)) + 1
    name = re.sub(r"-v\d+$", "", workspace.root.name)
    return workspace.root.with_name(check_name(f"{name}-v{number}", "workspace"))


def _copied(workspace: Workspace, root: Path) -> Workspace:
    """A new version, whole or not at all.  Raises: WorkspaceError."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise WorkspaceError(f"{root}: found something that is no workspace, expected a free name; choose another with --into")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}.", suffix=".tmp", dir=root.parent) as name:
            made = Path(name) / "version"
            (made / "log").mkdir(parents=True)
            for part in COPIED:
                path = workspace.root / part
                if path.is_dir():
                    shutil.copytree(path, made / part)
                elif path.exists():
                    shutil.copy2(path, made / part)
            for stage in RECORDS:
                path = workspace.root / "log" / f"{stage}.json"
                if path.exists():
                    shutil.copy2(path, made / "log" / path.name)
            parent = _lineage(workspace)
            # What was generated for an earlier version stays in the later ones.
            write_json(made / "lineage.json", {"version": int(parent.get("version", 1)) + 1,
                                               "parent": os.path.relpath(workspace.root, root),
                                               "generated": parent.get("generated", {})})
            if root.exists():
                root.rmdir()
            made.rename(root)
    except OSError as error:
        raise disk_error(error, root) from error
    return Workspace(root, create=False)


def lineage_of(workspace: Workspace) -> dict[str, Any]:
    """What a version came from: {"version", "parent", "generated": number -> how it was made and its repeats, "start"}.

    A workspace that was made from a picture is version 1 and has nothing else.
    """
    return {"version": 1, "generated": {}, **_lineage(workspace)}


def _lineage(workspace: Workspace) -> dict[str, Any]:
    path = workspace.root / "lineage.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{path}: found no readable JSON ({error}), expected the version's lineage; mend it or make the "
                             "version again") from None
    return dict(found)


def _from(workspace: Workspace, version: Workspace) -> str:
    return os.path.relpath(workspace.root, version.root)


def _copy_file(source: Path, target: Path) -> None:
    with atomic(target) as file, source.open("rb") as given:
        shutil.copyfileobj(given, file)

