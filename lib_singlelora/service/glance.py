"""A workspace at a glance: all that the page shows first, with files named below its folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..files.fileio import is_own_file
from ..settings.schema import declarations
from ..workspace.preset_origin import PRESET, USER
from .service import Service
from .steps import steps_of
from .watch import Watch


def glance(service: Service, name: str) -> dict[str, Any]:
    """The page's first answer; the keys are part of the HTTP API.

    Its files are relative; one outside the workspace keeps its whole path.
    Raises: WorkspaceError.
    """
    workspace = service.workspace(name)
    settings = service.settings(name)
    original = workspace.original()
    results = service.results(name)
    chosen = {PRESET} if results["training_preset"]["whose"] == USER else set()
    return {
        **_relative(results, workspace.root),
        "original": original.relative_to(workspace.root).as_posix() if original else None,
        "exam": "plots/exam.png" if is_own_file(workspace.plots / "exam.png") else None,
        "steps": [asdict(step) for step in steps_of(service, name)],
        "settings": {declared.name: settings.get(declared.name) for declared in declarations()},
        "by_hand": sorted(chosen | set(service.set_by_hand(name))),
        "next_version": service.next_version(name),
        "revision": Watch(service).revision(workspace.root.name),
    }


def _relative(value: Any, root: Path) -> Any:
    """Plain values in which paths below the folder are relative to it."""
    start = str(root)
    if isinstance(value, dict):
        return {key: _relative(each, root) for key, each in value.items()}
    if isinstance(value, list):
        return [_relative(each, root) for each in value]
    if (
        isinstance(value, str)
        and value.startswith(start)
        and value[len(start) :][:1] in ("/", "\\")
    ):
        return value[len(start) + 1 :].replace("\\", "/")
    return value
