"""Training presets: JSON files of values, each with the reason beside it.

    {"about": "One sentence for the list of presets.",
     "why": {"training.rank": "The reason for its value."},
     "training": {"rank": 8}}

`about` and `why` are for the reader; the rest is read as settings.  Presets that the user saves
have neither.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError, WorkspaceError
from ..files.fileio import write_text
from ..files.names import check_name
from .training import DEFAULT_PRESET

PRESETS = Path(__file__).parent / "presets"
# The user's own, not in the repository; they have lain there since before the shipped ones moved.
OWN_PRESETS = Path(__file__).parents[1] / "presets" / "own"
PRESET_KEY = "singlelora_preset"  # in a checkpoint's metadata: the preset that it needs
AUTO = "auto"  # given in place of a preset's name: the one that the loaded checkpoint asks for


@dataclass(frozen=True)
class Preset:
    """A preset as it is in its file.

    about: one sentence, "" in the user's own.
    why: dotted name of a setting -> the reason for its value.
    values: nested settings, not yet checked.
    """

    name: str
    about: str
    why: Mapping[str, str]
    values: Mapping[str, Any]


def preset_names() -> list[str]:
    """The shipped presets and the user's own."""
    return sorted(
        {path.stem for folder in (PRESETS, OWN_PRESETS) for path in folder.glob("*.json")}
    )


def shipped_presets() -> list[Preset]:
    """The shipped presets, with their reasons."""
    return [read_preset(path.stem) for path in sorted(PRESETS.glob("*.json"))]


def preset_of(metadata: Mapping[str, str] | None, usual: str = DEFAULT_PRESET) -> str:
    """The shipped preset that a checkpoint's metadata names, or its family's usual one."""
    name = (metadata or {}).get(PRESET_KEY, "")
    return name if name in preset_names() else usual


def read_preset(name: str) -> Preset:
    """A preset by its name, shipped or the user's own.

    Raises: SettingsError, for an unknown name (with the nearest one) or a broken file.
    """
    known = preset_names()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise SettingsError(
            f"unknown preset '{name}'; did you mean '{nearest[0]}'? There are: {', '.join(known)}"
        )
    path = next(
        file for folder in (PRESETS, OWN_PRESETS) if (file := folder / f"{name}.json").exists()
    )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("no JSON object")
        about = str(content.pop("about", ""))
        why = dict(content.pop("why", {}))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SettingsError(
            f"{path}: found no preset ({error}), expected the JSON that saving one writes;"
            " delete it"
        ) from None
    return Preset(name, about, why, content)


def save_preset(name: str, values: Mapping[str, Any]) -> Path:
    """Write nested settings as a preset of the user's own; the path of its file.

    Raises: SettingsError, for an invalid name, the name of a shipped preset, or a full disk.
    """
    try:
        name = check_name(name, "preset")
    except WorkspaceError as error:
        raise SettingsError(str(error)) from None
    if name == AUTO:
        raise SettingsError(
            f"preset: found '{AUTO}', which stands for the checkpoint's own, expected another name"
        )
    if (PRESETS / f"{name}.json").exists():
        raise SettingsError(
            f"preset: found '{name}', which ships with the program, expected another name"
        )
    path = OWN_PRESETS / f"{name}.json"
    try:
        write_text(path, json.dumps(values, indent=1) + "\n")
    except WorkspaceError as error:
        raise SettingsError(str(error)) from None
    return path
