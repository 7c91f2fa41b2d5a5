"""What each stage was last asked for, in words that a page can tell: `log/asked.json`.

A stage's fingerprint says that something changed, this file says what.  No stage reads it: without
it, or where it is damaged, nothing counts as changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import WorkspaceError
from ..files.fileio import file_hash, file_state, fingerprint, is_own_file, read_json, write_json
from ..settings.schema import Settings, declarations
from .kohya_folders import caption_file, list_pictures
from .stage_record import Map, check
from .workspace import Workspace

# Sections of the settings that a stage reads
SECTIONS: dict[str, tuple[str, ...]] = {
    "prepare": ("prepare",),
    "crop": ("crop",),
    "caption": ("caption", "character"),
    "regularize": ("regularization", "quality"),
    "train": ("training",),
    "plot": ("plot", "judge", "quality"),
    "inpaint": ("inpaint", "quality"),
}
# Settings that a stage may do without being done again: what they change comes with the next call
_HARMLESS = {
    "training.epochs",
    "training.repeats",
    "training.sample_every",
    "training.tensorboard",
    "quality.fast_convolutions",
}
_SHAPE = Map({"settings": Map(str), "inputs": Map(str)})


@dataclass(frozen=True)
class Change:
    """One thing that changed since a stage was done.

    kind: "setting" or "input".
    name: the setting's dotted name, or what the stage reads: picture, mask, crops, captions,
        regularization, loras.
    was, now: of a setting, as text.
    """

    kind: str
    name: str
    was: str = ""
    now: str = ""


def remember_asked(workspace: Workspace, settings: Settings, stage: str) -> None:
    """Write down what a stage that is done now was asked for."""
    try:
        asked = _read(workspace)
        asked[stage] = {
            "settings": _settings_of(settings, stage),
            "inputs": _inputs(workspace, settings, stage),
        }
        write_json(_file(workspace), asked)
    except OSError as error:
        raise WorkspaceError(f"log/asked.json: found {error}, expected to write it") from error


def changes_since(workspace: Workspace, settings: Settings, stage: str) -> list[Change]:
    """What changed since a stage was done; none where that is not known."""
    asked = _read(workspace).get(stage)
    if asked is None:
        return []
    now = _settings_of(settings, stage)
    changes = [
        Change("setting", name, was, now[name])
        for name, was in asked["settings"].items()
        if name in now and now[name] != was and name not in _HARMLESS
    ]
    inputs = _inputs(workspace, settings, stage)
    changes += [
        Change("input", name)
        for name, was in asked["inputs"].items()
        if inputs.get(name, "") != was
    ]
    return changes


def _settings_of(settings: Settings, stage: str) -> dict[str, str]:
    return {
        declared.name: declared.text_of(settings.get(declared.name))
        for declared in declarations()
        if declared.section in SECTIONS[stage]
    }


def _inputs(workspace: Workspace, settings: Settings, stage: str) -> dict[str, str]:
    """Digest of each thing that a stage reads."""
    return {
        name: fingerprint([_hash(path) for path in paths if is_own_file(path)])
        for name, paths in _files(workspace, settings, stage)
    }


def _files(
    workspace: Workspace, settings: Settings, stage: str
) -> Iterator[tuple[str, list[Path]]]:
    crops = list_pictures(workspace.image_folder(settings)) if settings.character.trigger else []
    if stage == "crop":
        yield "picture", [workspace.prepared]
        yield "mask", [workspace.mask]
    elif stage == "caption":
        yield "crops", crops
    elif stage == "train":
        yield "crops", crops
        yield "captions", [caption_file(path) for path in crops]
        if settings.training.regularization in ("pictures", "both"):
            yield "regularization", list_pictures(workspace.reg_folder(settings))
    elif stage in ("plot", "inpaint"):
        yield "loras", sorted(workspace.models.glob("*.safetensors"))


def _hash(path: Path) -> str:
    return _hashed(path, file_state(path))


@lru_cache(maxsize=4096)
def _hashed(path: Path, state: tuple[int, ...]) -> str:
    return file_hash(path)


def _file(workspace: Workspace) -> Path:
    return workspace.root / "log" / "asked.json"


def _read(workspace: Workspace) -> dict[str, Any]:
    with contextlib.suppress(OSError, WorkspaceError):
        values: Mapping[str, Any] = read_json(_file(workspace))
        check(values, _SHAPE, "log/asked.json")
        return dict(values)
    return {}
