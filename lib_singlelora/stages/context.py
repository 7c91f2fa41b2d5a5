"""The argument of every stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..host import Host
from ..jobs import Job
from ..settings.schema import Settings
from ..workspace.workspace import Workspace
from .declared_host import with_declared_prediction
from .quality_host import QualityHost, with_quality_tags


@dataclass(frozen=True)
class StageContext:
    """One call of a stage.

    settings: as they were when the job began.
    workspace: the character's folder.
    host: holds the checkpoint; draws and trains.
    job: reports progress and can be cancelled.
    force: do again what is done, over edits by hand too.
    latents: a folder of encoded pictures that several trainings share; None for none.
    on_epoch: called with each trained epoch and the judge's probes of it, which are then drawn
        whether or not `training.early_stop` is on; it may raise to end the training there.
    """

    settings: Settings
    workspace: Workspace
    host: Host
    job: Job = field(default_factory=Job)
    force: bool = False
    latents: Path | None = None
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = None

    def __post_init__(self) -> None:
        inner = self.host.inner if isinstance(self.host, QualityHost) else self.host
        declared = with_declared_prediction(inner, self.settings.training)
        object.__setattr__(self, "host", with_quality_tags(declared, self.settings.quality))

    def with_settings(self, settings: Settings) -> StageContext:
        """The same call with other settings."""
        return replace(self, settings=settings)
