"""How a stage continues what was interrupted, skips what is done and keeps the user's edits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .stage_record import StageRecord
from .workspace import Workspace


def begin(
    workspace: Workspace, stage: str, fingerprint: str, force: bool
) -> tuple[StageRecord, bool]:
    """(the stage's record for this fingerprint, True if nothing is left to do).

    The hashes of files written earlier are kept under a new fingerprint too: a file that is still
    as the stage wrote it may be replaced, one that the user changed may not.
    """
    record = workspace.record(stage)
    if record.fingerprint != fingerprint or force:
        return StageRecord(stage, fingerprint, False, record.files, {}), False
    return record, record.complete


def finish(workspace: Workspace, record: StageRecord, files: Iterable[Path]) -> None:
    """Mark the stage complete and remove what only an earlier run wrote and the user left alone.

    files: those of this run.
    """
    current = {workspace.relative(path) for path in files}
    known = {workspace.relative(path): path for path in workspace.files_of(record)}
    for name, path in known.items():
        if name not in current:
            if path.exists() and not workspace.edited(record, path):
                path.unlink()
            del record.files[name]
    record.complete = True
    workspace.save_record(record)
    workspace.events.write("stage", stage=record.stage, files=len(current))
