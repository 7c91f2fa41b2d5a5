"""The command line's word for settings: see them, carry them over from other trainers and to them, keep them as a preset."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .fileio import write_text
from .foreign import Imported, read_foreign, write_foreign
from .settings import save_preset
from .workspace import Workspace

WORDS = ("settings",)


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    word = words.add_parser("settings", help="a workspace's settings: show, import, export, keep as a preset")
    word.add_argument("--workspace", type=Path, required=True, metavar="DIR", help="her folder")
    word.add_argument("--import", dest="source", type=Path, metavar="FILE",
                      help="a kohya_ss .json or an sd-scripts .toml to take over")
    word.add_argument("--export", type=Path, metavar="FILE", help="write a .json for kohya_ss or a .toml for sd-scripts")
    word.add_argument("--save-preset", metavar="NAME",
                      help="keep the training settings under a name, for --set training.preset=NAME")
    word.add_argument("--json", action="store_true", help="print the result as one JSON object and nothing else")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the options ask.  Raises: SettingsError, WorkspaceError."""
    root, left = Path(os.path.abspath(options.workspace.expanduser())), dict[str, str]()
    if options.source:
        found = _read(options.source)
        left, workspace = found.left, Workspace.begun(root)
        settings = workspace.change_settings(lambda saved: saved.with_values(found.values))
    else:
        settings = Workspace(root, create=False).load_settings()  # a mistyped name makes no folder
    result: dict[str, Any] = {"workspace": str(root), "changed": settings.changed()}
    if options.export:
        kind = options.export.suffix.lower().lstrip(".")
        if kind not in ("json", "toml"):
            raise SettingsError(f"{options.export}: found the ending '{options.export.suffix}', expected .json (kohya_ss) or "
                                ".toml (sd-scripts)")
        made = write_foreign(settings, kind)
        write_text(options.export, made.text)
        left |= made.left
        result["exported"] = str(options.export)
    if options.save_preset:
        result["preset"] = str(save_preset(options.save_preset, settings))
    return {**result, "left": left}


def _read(file: Path) -> Imported:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{file.name}: found no UTF-8 text, expected a kohya_ss JSON or an sd-scripts TOML") from None
    return read_foreign(text, file.name)


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{name} = {value}" for name, value in sorted(result["changed"].items())]
    lines += [f"{key}: {result[key]}" for key in ("exported", "preset") if key in result]
    if result["left"]:
        lines += ["", "not carried over:", *(f"  {name}: {why}" for name, why in sorted(result["left"].items()))]
    return "\n".join(lines)
