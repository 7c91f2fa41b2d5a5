"""Reader of the stage `plot`: the last recommendation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from ..files.fileio import is_own_file
from .workspace import Workspace


@dataclass(frozen=True)
class Recommendation:
    """A LoRA and how to use it.

    epoch: from 1.
    strength: multiplier.
    preset: block weights, by name or written out.
    lora: the epoch's file.
    reason: a sentence for the user.
    prompt: the prompt by which it was chosen; '' in records of earlier versions.
    confidence: chance that no other cell is better, 0 to 1; 0 where it is not known.
    """

    epoch: int
    strength: float
    preset: str
    lora: Path
    reason: str
    prompt: str = ""
    confidence: float = 0.0


def recommendation_from(values: Any, workspace: Workspace) -> Recommendation | None:
    """The recommendation in a record, if its file still exists.

    A record may come from another machine: only the file's name is taken from it, and looked for
    where this workspace's LoRAs lie.  What is recommended gets published and copied, which must not
    happen to a file outside.
    """
    if not values:
        return None
    name = PureWindowsPath(values["lora"]).name  # the last part of either system's path
    if not name.endswith(".safetensors"):
        return None
    paths = [folder / name for folder in (workspace.models, workspace.models / "made")]
    path = next((path for path in paths if is_own_file(path)), None)
    return Recommendation(**{**values, "lora": path}) if path else None


def saved_recommendation(workspace: Workspace) -> Recommendation | None:
    """The last recommendation, if its file still exists."""
    return recommendation_from(workspace.record("plot").data.get("recommendation"), workspace)
