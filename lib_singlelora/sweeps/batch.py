"""A batch: each picture a workspace, each the whole job, done by whichever worker is free."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConflictError, NotFoundError, StorageError
from ..files import writer_lock
from ..files.fileio import file_hash, make_folder
from ..host import Host
from ..jobs import Job
from ..settings.schema import Settings
from ..stages.context import StageContext
from ..stages.pipeline import run_all
from ..workspace.preset_origin import PresetOrigin
from ..workspace.recommendation import saved_recommendation
from ..workspace.training_preset import set_by_hand, settle
from ..workspace.workspace import Workspace
from .checkpoint_check import check_checkpoint, checkpoint_entry
from .index_page import IndexEntry, write_index
from .picture_list import Entry
from .search import VALUE
from .storage import Storage
from .trial import figures_of, recommended_pictures
from .unit_queue import ERROR, Unit, UnitQueue, UnitState

BATCH = "batch"  # kind of a plan
ENTRY = "entry"  # attribute of a unit
DRAWN = "drawn"  # attribute of a unit: pictures to show, relative to its workspace
MOST_INPAINTED = 4  # of them


def begin_batch(
    storage: Storage, folder: Path, entries: Sequence[Entry], host: Host, values: Mapping[str, Any]
) -> UnitQueue:
    """Queue each picture that is not done; those that failed are tried again.

    folder: of the workspaces.
    values: settings of every picture, by dotted names.
    Raises: CheckpointError, ConflictError, StorageError.
    """
    Settings.from_dict(values)
    make_folder(folder)
    plan = {
        "kind": BATCH,
        "checkpoint": checkpoint_entry(host),
        "folder": storage.stored(folder),
        "settings": dict(values),
    }
    with writer_lock.changing(folder, "batch"):
        queue = UnitQueue.begin(storage, f"batch/{folder.name}", plan)
        check_checkpoint(queue, host)
        for part in ("folder", "settings"):
            if queue.plan[part] != plan[part]:
                raise ConflictError(
                    f"{queue.name}: found other {part} than those the batch was begun with"
                    f" ({queue.plan[part]}), expected the same; begin another one with --out"
                )
        notes = {entry.trigger: {ENTRY: _stored(storage, entry)} for entry in entries}
        queue.add({entry.trigger: {} for entry in entries}, again="failed", notes=notes)
    return queue


def _stored(storage: Storage, entry: Entry) -> dict[str, Any]:
    return {
        "picture": storage.stored(entry.picture),
        "sha256": file_hash(entry.picture),
        "trigger": entry.trigger,
        "class": entry.class_token,
        "settings": dict(entry.settings),
    }


class PictureHandler:
    """Does the pictures of one batch on one host.

    Raises: CheckpointError, for a host with another checkpoint; StorageError, where the batch's
        folder is not on this machine.
    """

    def __init__(self, queue: UnitQueue, host: Host) -> None:
        check_checkpoint(queue, host)
        self.queue = queue
        self.host = host
        self.folder = queue.storage.real(queue.plan["folder"])
        if not self.folder.is_dir():
            raise StorageError(
                f"{self.folder}: found no such folder, expected that of {queue.name!r}: characters'"
                " folders must be at the same place for every worker; mount them there"
            )

    def __call__(self, unit: Unit, job: Job) -> Sequence[float]:
        """The whole job; the judge's value of the recommended cell.  Raises: as `run_all`."""
        entry = unit.notes[ENTRY]
        picture = self.queue.storage.real(entry["picture"])
        workspace = Workspace.begun(self.folder / unit.key)
        with workspace.writing("batch"):
            if workspace.original() is None:
                _check_picture(picture, entry)
            settings = self._settled(workspace, entry)
            context = StageContext(settings, workspace, self.host, job)
            result = run_all(context, picture if picture.exists() else None)
        figures = figures_of(workspace)
        unit.note("figures", figures)
        best = saved_recommendation(workspace)
        unit.note("reason", best.reason if best else "")
        inpainted = [Path(path).relative_to(workspace.root) for path in result["inpainted"]]
        drawn = recommended_pictures(context, best) if best else []
        unit.note(DRAWN, [*drawn, *(path.as_posix() for path in inpainted[:MOST_INPAINTED])])
        return [figures.get(VALUE, 0.0)]

    def _settled(self, workspace: Workspace, entry: Mapping[str, Any]) -> Settings:
        values = {
            **self.queue.plan["settings"],
            **entry["settings"],
            "character.trigger": entry["trigger"],
            "character.class_token": entry["class"],
        }

        def change(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
            return set_by_hand(saved, origin, values)

        path = self.host.checkpoint.path
        return settle(workspace, self.host.asked_preset, change, path)[0]


def _check_picture(picture: Path, entry: Mapping[str, Any]) -> None:
    """Raises: NotFoundError, ConflictError, for one that is not there or not the queued one."""
    if not picture.exists():
        raise NotFoundError(
            f"{picture}: found no such picture, expected that of '{entry['trigger']}'; it must be"
            " at the same place for every worker"
        )
    if file_hash(picture) != entry["sha256"]:
        raise NotFoundError(
            f"{picture}: found another picture than the one that was queued for"
            f" '{entry['trigger']}', expected the same; put it back, or call batch again with --out"
        )


def batch_result(queue: UnitQueue) -> dict[str, Any]:
    """The batch as it is now, as one JSON object; its index page is written anew."""
    folder = queue.storage.real(queue.plan["folder"])
    states = queue.states()
    rows = [_row(folder, state) for state in states.values()]
    index = folder / "index.html"
    with contextlib.suppress(NotFoundError):
        write_index(index, f"{folder.name}: {len(rows)} characters", [_shown(row) for row in rows])
    return {
        "folder": str(folder),
        "storage": queue.storage.url,
        "index": str(index),
        "characters": rows,
        "left": sum(not state.ended for state in states.values()),
        "failed": sum(state.state == "failed" for state in states.values()),
        "seconds": {"batch": sum(row["seconds"] or 0.0 for row in rows)},
    }


def _row(folder: Path, state: UnitState) -> dict[str, Any]:
    root = folder / state.key
    sheet, page = root / "plots" / "sheet.png", root / "plots" / "sheet.html"
    prepared = root / "source" / "prepared.png"
    drawn = [root / path for path in state.notes.get(DRAWN, ())]
    return {
        "trigger": state.key,
        "workspace": str(root),
        "state": state.state,
        "error": state.notes.get(ERROR, "") if state.state == "failed" else "",
        "reason": state.notes.get("reason", ""),
        "figures": dict(state.notes.get("figures", {})),
        "seconds": state.notes.get("seconds"),
        "prepared": str(prepared) if prepared.exists() else None,
        "drawn": [str(path) for path in drawn if path.is_file() and _is_inside(path, root)],
        "sheet": str(sheet) if sheet.exists() else None,
        "page": str(page) if page.exists() else None,
    }


def _is_inside(path: Path, root: Path) -> bool:
    """False for what a storage of somebody else's names outside the character's folder."""
    return path.resolve().is_relative_to(root.resolve())


def _shown(row: Mapping[str, Any]) -> IndexEntry:
    def file(part: str) -> Path | None:
        return Path(row[part]) if row[part] else None

    return IndexEntry(
        row["trigger"],
        row["state"],
        row["error"] or row["reason"],
        dict(row["figures"]),
        file("prepared"),
        file("sheet"),
        file("page"),
        tuple(map(Path, row["drawn"])),
    )
