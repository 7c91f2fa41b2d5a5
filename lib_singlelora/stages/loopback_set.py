"""A set of drawn pictures, whole and captioned, in the next version of a data set."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.fileio import atomic, file_hash, fingerprint
from ..files.names import check_name
from ..library.choose import choose_lora
from ..workspace.kohya_folders import caption_file, write_caption
from ..workspace.workspace import Workspace
from .context import StageContext
from .loopback import (
    LINEAGE,
    Start,
    Version,
    next_version,
    number_of,
    own_lineage,
    version_at,
    write_lineage,
)


@dataclass(frozen=True)
class DrawnPicture:
    """A picture to train on.

    how: what is known of its making, for the lineage.
    """

    path: Path
    caption: str
    how: dict[str, Any]


def add_set(
    context: StageContext,
    pictures: Sequence[DrawnPicture],
    into: Path | None = None,
    repeats: int = 0,
    start: Start = "zero",
) -> Version:
    """Add pictures as one further source to the next version, made first if it does not exist.

    They are trained whole: cropped, so small a drawing would teach its blur.  The same set is added
    once, and what was edited or deleted of it stays so.

    repeats: of each, 0 for half of the crops'.
    Raises: ConflictError, LoraFileError, WorkspaceError, as `loopback`.
    """
    settings = context.settings
    workspace = context.workspace
    begun_from = choose_lora(settings, workspace) if start == "last" else None
    version = version_at(workspace, into or next_version(workspace))
    repeats = repeats or max(1, settings.training.repeats // 2)
    mark = set_mark(pictures, repeats)
    with version.writing("loopback"):
        lineage = own_lineage(version, workspace)
        number = number_of(lineage, mark)
        source = Workspace(version.root / "generated" / str(number))
        values = {"training.repeats": repeats, "training.start_from": ""}
        source.save_settings(settings.with_values(values))
        trigger = check_name(settings.character.trigger, "trigger")
        folder = source.root / "image" / f"{repeats}_{trigger}"
        targets = [folder / each.path.name for each in pictures]
        if str(number) not in lineage["generated"]:
            for each, target in zip(pictures, targets, strict=True):
                context.job.raise_if_cancelled()
                _add(each, target)
            lineage["generated"][str(number)] = {
                "sha256": mark,
                "repeats": repeats,
                "pictures": {each.path.name: each.how for each in pictures},
            }
            write_lineage(version, workspace, lineage, begun_from)
            version.events.write(
                "loopback", pictures=len(pictures), number=number, repeats=repeats, start=start
            )
    return Version(
        version.root,
        int(lineage["version"]),
        tuple(path for path in targets if path.exists()),
        source.root,
        version.root / LINEAGE,
    )


def set_mark(pictures: Sequence[DrawnPicture], repeats: int) -> str:
    """What a set is known by."""
    return fingerprint(sorted((file_hash(each.path), each.caption) for each in pictures), repeats)


def _add(picture: DrawnPicture, target: Path) -> None:
    """Copy a picture and write its caption, unless an interrupted call already did."""
    if not target.exists():
        with atomic(target) as file, picture.path.open("rb") as drawn:
            shutil.copyfileobj(drawn, file)
    if not caption_file(target).exists():
        write_caption(target, picture.caption)
