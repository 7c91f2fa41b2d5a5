"""How a stage continues what was interrupted, skips what is done and leaves alone what a person
edited.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .stage_record import StageRecord
from .workspace import Workspace


def begin(
    workspace: Workspace, stage: str, fingerprint: str, force: bool
) -> tuple[StageRecord, bool]:
    """The stage's record for this fingerprint, and whether there is nothing left to do.

    The hashes of files written earlier are kept under a new fingerprint too: what is still as the
    stage wrote it may be replaced, what a person changed may not.
    """
    record = workspace.record(stage)
    if record.fingerprint != fingerprint or force:
        return StageRecord(stage, fingerprint, False, record.files, {}), False
    return record, record.complete


def finish(workspace: Workspace, record: StageRecord, made: Iterable[Path]) -> None:
    """Mark the stage complete and remove what an earlier run wrote, this one did not, and nobody
    edited.
    """
    current = {workspace.relative(path) for path in made}
    known = {workspace.relative(path): path for path in workspace.files_of(record)}
    for name, path in known.items():
        if name not in current:
            if path.exists() and not workspace.edited(record, path):
                path.unlink()
            del record.files[name]
    record.complete = True
    workspace.save_record(record)
    workspace.events.write("stage", stage=record.stage, files=len(current))
