"""What a workspace's trainings logged, thinned out for a chart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..files.fileio import is_own_file
from ..workspace.workspace import Workspace
from .service import Service

POINTS = 400  # of a curve


def training_log(service: Service, name: str) -> dict[str, Any]:
    """Steps (loss, its mean, learning rate), validations, warnings, samples of the last training.

    Raises: WorkspaceError.
    """
    workspace = service.workspace(name)
    samples = workspace.root / "samples"
    pictures = sorted(samples.glob("*.png")) if samples.is_dir() else []
    try:
        status = workspace.events.path.stat()
        told = _read(workspace, status.st_mtime_ns, status.st_size)
    except OSError:
        told = {"steps": [], "validation": [], "warnings": []}
    return {
        **told,
        "samples": [f"samples/{path.name}" for path in pictures if is_own_file(path)][-200:],
    }


@lru_cache(maxsize=16)
def _read(workspace: Workspace, changed: int, size: int) -> dict[str, Any]:
    steps: dict[int, dict[str, Any]] = {}
    validation: dict[int, dict[str, Any]] = {}
    warnings: list[str] = []
    for event in workspace.events.read():
        kind, step = event.get("event"), event.get("step")
        if kind == "train" and event.get("resumed_at") is None:
            steps, validation, warnings = {}, {}, []  # a new training
        elif kind == "step" and isinstance(step, int):
            kept = {key: event.get(key) for key in ("step", "loss", "smoothed", "lr")}
            if all(isinstance(value, int | float) for value in kept.values()):
                steps[step] = kept  # one that was done again after a break counts once
        elif kind == "validation" and isinstance(step, int):
            if isinstance(event.get("loss"), int | float):
                validation[step] = {"step": step, "loss": event["loss"], "bands": _bands(event)}
        elif kind == "warning":
            warnings.append(str(event.get("message", "")))
    return {
        "steps": _thinned([steps[step] for step in sorted(steps)]),
        "validation": [validation[step] for step in sorted(validation)],
        "warnings": warnings,
    }


def _bands(event: Mapping[str, Any]) -> dict[str, float]:
    """The validation's loss by the timestep in the middle of a band, of an event."""
    told = event.get("bands")
    bands = told.items() if isinstance(told, dict) else ()
    return {str(key): value for key, value in bands if isinstance(value, int | float)}


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most POINTS of them, the last one among them."""
    every = max(1, -(-len(points) // POINTS))
    return points[::-1][::every][::-1]
