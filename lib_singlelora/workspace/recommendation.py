"""What `plot` recommended last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from ..files.fileio import is_own_file
from .workspace import Workspace


@dataclass(frozen=True)
class Recommendation:
    """Which file at which strength, and why."""

    epoch: int
    strength: float
    preset: str
    lora: Path
    reason: str


def recommendation_from(values: Any, workspace: Workspace) -> Recommendation | None:
    """What a record holds, if its file is still there.

    A record may come from elsewhere: only its file's name is taken, in the folders where the
    workspace's own LoRAs lie; what is recommended is published and copied, which no file outside
    must be.
    """
    if not values:
        return None
    name = PureWindowsPath(values["lora"]).name  # the last part of either system's path
    places = [folder / name for folder in (workspace.models, workspace.models / "made")]
    path = next(
        (place for place in places if name.endswith(".safetensors") and is_own_file(place)), None
    )
    return Recommendation(**{**values, "lora": path}) if path else None


def saved_recommendation(workspace: Workspace) -> Recommendation | None:
    """What the last plot recommended, if its file is still there."""
    return recommendation_from(workspace.record("plot").data.get("recommendation"), workspace)
