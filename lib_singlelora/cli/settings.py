"""The command line's word for settings: show, import, export, save as a preset."""

from __future__ import annotations

import argparse
import codecs
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..families.layout import BlockLayout
from ..families.registry import FAMILIES
from ..files.fileio import write_text
from ..jobs import Job
from ..kohya.convert import Imported, dataset_config_of, read_foreign, write_foreign
from ..settings.preset_files import save_preset
from ..workspace.training_preset import PresetChoice, choice_of, set_by_hand
from ..workspace.workspace import Workspace
from .options import add_json, add_workspace


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    word = words.add_parser(
        "settings", help="a workspace's settings: show, import, export, save as a preset"
    )
    add_workspace(word)
    word.add_argument(
        "--import",
        dest="source",
        type=Path,
        metavar="FILE",
        help="import a kohya_ss .json or an sd-scripts .toml (or dataset_config)",
    )
    word.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="export a .json for kohya_ss or a .toml for sd-scripts",
    )
    word.add_argument(
        "--family",
        choices=[family.name for family in FAMILIES],
        help="base model that the export is for; without it the one that was trained on last",
    )
    word.add_argument(
        "--save-preset",
        metavar="NAME",
        help="save the training settings for --set training.preset=NAME",
    )
    add_json(word)
    word.set_defaults(run=run, render=render)


def run(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Do what the options ask.  Raises: SettingsError, WorkspaceError."""
    root = Path(os.path.abspath(options.workspace.expanduser()))
    left: dict[str, str] = {}
    remarks: list[str] = []
    result: dict[str, Any] = {"workspace": str(root)}
    if options.source:
        imported = _import(options.source)
        workspace = Workspace.begun(root)
        workspace.change_with_origin(
            lambda saved, origin: set_by_hand(saved, origin, imported.values)
        )
        left |= imported.left
        result |= {"given": imported.given, "assumed": imported.assumed}
    else:
        workspace = Workspace(root, create=False)  # a mistyped name makes no folder
    settings, origin = workspace.load_settings_and_origin()
    result["changed"] = settings.changed()
    result["training_preset"] = choice_of(settings, origin).as_dict()
    if options.export:
        kind = options.export.suffix.lower().lstrip(".")
        if kind not in ("json", "toml"):
            raise SettingsError(
                f"{options.export}: found the ending '{options.export.suffix}', expected .json"
                " (kohya_ss) or .toml (sd-scripts)"
            )
        exported = write_foreign(settings, kind, _layout(options.family, workspace))
        write_text(options.export, exported.text)
        left |= exported.left
        remarks += exported.remarks
        result["exported"] = str(options.export)
    if options.save_preset:
        result["preset"] = str(save_preset(options.save_preset, settings.to_preset()))
    return {**result, "left": left, "remarks": remarks}


def _layout(name: str | None, workspace: Workspace) -> BlockLayout | None:
    """The layout of a family by name, else of the checkpoint trained on last; None for none."""
    name = name or str(workspace.record("train").data.get("family", ""))
    return next((family.layout for family in FAMILIES if family.name == name), None)


def _import(file: Path) -> Imported:
    """The settings of another trainer's file, and of the dataset_config that it names."""
    text = _read(file)
    named = dataset_config_of(text, file.name)
    if not named:
        return read_foreign(text, file.name)
    # The file may come from another machine: one of the same name beside it is as good.
    places = (
        Path(named).expanduser(),
        file.parent / named,
        file.parent / named.replace("\\", "/").rpartition("/")[2],
    )
    beside = next(
        (place for place in places if place.is_file() and place.suffix.lower() == ".toml"), None
    )
    if beside is not None:
        return read_foreign(text, file.name, _read(beside), beside.name)
    imported = read_foreign(text, file.name)
    missing = {"dataset_config": f"found no {named!r}; import that file too"}
    return replace(imported, left={**imported.left, **missing})


def _read(file: Path) -> str:
    """A file's text, UTF-8 or, where a byte order mark says so, UTF-16.  Raises: SettingsError."""
    try:
        data = file.read_bytes()
        if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(
            f"{file.name}: found no UTF-8 text, expected a kohya_ss JSON or an sd-scripts TOML"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be read ({error.strerror or error}), expected a kohya_ss JSON or an"
            " sd-scripts TOML"
        ) from None


def render(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{name} = {value}" for name, value in sorted(result["changed"].items())]
    lines.append(f"preset: {PresetChoice(**result['training_preset'])}")
    lines += [f"{key}: {result[key]}" for key in ("exported", "preset") if key in result]
    for key, title in (
        ("given", "from the file:"),
        ("assumed", "not in the file, the other trainer's defaults:"),
        ("left", "not imported or exported:"),
    ):
        if result.get(key):
            lines += ["", title, *(f"  {name}: {why}" for name, why in sorted(result[key].items()))]
    if result.get("remarks"):
        lines += ["", *result["remarks"]]
    return "\n".join(lines)
