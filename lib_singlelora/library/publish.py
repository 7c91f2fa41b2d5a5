"""Publishes trained files to the host's list of LoRAs, with what its users need to know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..captions.prompt_language import prompt_of
from ..captions.pruning import subject_of
from ..host import Host, LoraCard
from ..settings.schema import Settings
from ..workspace.workspace import Workspace
from .epochs import published_name


def publish(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    files: Mapping[int, Path],
    previews: Mapping[int, Path] | None = None,
) -> None:
    """Hand each epoch to the host.

    files: by the epoch's number, from 1 on.
    previews: the picture to show of an epoch; without one, the prepared source.
    """
    trigger = prompt_of(subject_of(settings.character, settings.caption))
    for epoch, file in files.items():
        preview = (previews or {}).get(epoch, workspace.prepared)
        host.publish(
            LoraCard(
                file,
                published_name(workspace, settings, file),
                workspace.root.name,
                trigger,
                f"Single-Image LoRA of {settings.character.trigger}, epoch {epoch} of"
                f" {settings.training.epochs}. Trigger: {trigger}",
                preview if preview.exists() else None,
            )
        )
