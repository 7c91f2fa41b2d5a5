"""Settings of other trainers, read and written: kohya_ss' JSON and sd-scripts' TOML.

What cannot be carried over is listed.  A key that a file leaves out has that trainer's own default
(`tables`).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError
from ..naming.blocks import BlockLayout
from ..settings.schema import Settings
from .reader import NOTE, Imported, Reading
from .tables import Trainer
from .writer import Exported, write_json, write_toml

__all__ = ["Exported", "Imported", "dataset_config_of", "read_foreign", "write_foreign"]
Values = dict[str, Any]


@dataclass(frozen=True)
class _File:
    """A parsed file.

    values: its keys, without sections.
    dataset: the keys of a dataset_config in it.
    note: what our own exporter noted in it.
    alone: it is a dataset_config without a training.
    """

    trainer: Trainer
    values: Values
    dataset: Values
    note: Values
    alone: bool = False


def read_foreign(
    text: str, name: str, dataset: str = "", dataset_name: str = "dataset_config"
) -> Imported:
    """Settings from a file's text, by the suffix of its name: kohya_ss' .json, sd-scripts' .toml.

    A TOML may be the training's, a dataset_config, or both in one.
    dataset: the text of the dataset_config that the file names, if any.
    dataset_name: the name of that file.
    Raises: SettingsError, for another suffix or text that does not fit the suffix.
    """
    text = text.removeprefix("\ufeff")
    if name.lower().endswith(".json"):
        values = _json(text, name)
        note = values.pop(NOTE, None)
        file = _File("kohya_ss", values, {}, note if isinstance(note, dict) else {})
    elif name.lower().endswith(".toml"):
        file = _toml_file(text, name)
    else:
        raise SettingsError(
            f"{name}: found neither .json nor .toml, expected a kohya_ss JSON or an sd-scripts TOML"
        )
    beside = _toml(dataset.removeprefix("\ufeff"), dataset_name) if dataset else {}
    return Reading(name, file.trainer).read(
        file.values, beside or file.dataset, file.note, file.alone
    )


def write_foreign(settings: Settings, kind: str, layout: BlockLayout | None = None) -> Exported:
    """The training settings as a kohya_ss JSON (`json`) or an sd-scripts TOML (`toml`).

    layout: of the checkpoint that they are for; None takes it from the block weights, else SD1.
    """
    return (write_json if kind == "json" else write_toml)(settings, layout)


def dataset_config_of(text: str, name: str) -> str:
    """The path of the dataset_config that a training's file names, or "".

    Raises: SettingsError.
    """
    text = text.removeprefix("\ufeff")
    values = _json(text, name) if name.lower().endswith(".json") else _toml_file(text, name).values
    path = values.get("dataset_config")
    return path.strip() if isinstance(path, str) else ""


def _json(text: str, name: str) -> Values:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{name}: found no JSON ({error}), expected a file that kohya_ss saved"
        ) from None
    if not isinstance(values, dict):
        raise SettingsError(
            f"{name}: found a {type(values).__name__}, expected an object of kohya_ss' fields"
        )
    return values


def _toml(text: str, name: str) -> Values:
    # Python 3.10 has no tomllib.
    reader = next(
        (module for module in ("tomllib", "tomli") if importlib.util.find_spec(module)), None
    )
    if reader is None:
        raise SettingsError(
            f"{name}: found no TOML reader, expected one; install it with pip install tomli"
        )
    try:
        return dict(importlib.import_module(reader).loads(text))
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{name}: found no TOML ({error}), expected an sd-scripts configuration"
        ) from None


def _toml_file(text: str, name: str) -> _File:
    """A TOML's keys: the training's without their sections, which sd-scripts ignores too."""
    flat: Values = {}
    dataset: Values = {}
    for key, value in _toml(text, name).items():
        if key in ("general", "datasets") and isinstance(value, dict | list):
            dataset[key] = value
        else:
            flat.update(value if isinstance(value, dict) else {key: value})
    return _File("sd-scripts", flat, dataset, _note(text), alone=bool(dataset) and not flat)


def _note(text: str) -> Values:
    """The note that our own exporter left in a comment."""
    mark = f"# {NOTE}: "
    for line in text.splitlines():
        if line.startswith(mark):
            try:
                note = json.loads(line[len(mark) :])
            except ValueError:
                return {}
            return note if isinstance(note, dict) else {}
    return {}
