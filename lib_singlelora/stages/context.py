"""The argument of every stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..host import Host
from ..jobs import Job
from ..settings.schema import Settings
from ..workspace.workspace import Workspace


@dataclass(frozen=True)
class StageContext:
    """One call of a stage.

    settings: as they were when the job began.
    workspace: the character's folder.
    host: holds the checkpoint; draws and trains.
    job: reports progress and can be cancelled.
    force: do again what is done, over edits by hand too.
    """

    settings: Settings
    workspace: Workspace
    host: Host
    job: Job = field(default_factory=Job)
    force: bool = False

    def with_settings(self, settings: Settings) -> StageContext:
        """The same call with other settings."""
        return replace(self, settings=settings)
