"""The record of a stage in `log/STAGE.json`, checked when read: anybody may have written it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import WorkspaceError

LARGEST = 2**53  # the largest whole number that every reader of JSON understands


@dataclass
class StageRecord:
    """The record of a stage: what it was asked and what it wrote.

    stage: its name.
    fingerprint: of what it was asked.
    complete: True when nothing is left to do.
    files: relative path -> SHA-256.
    data: what else the stage keeps.
    """

    stage: str
    fingerprint: str = ""
    complete: bool = False
    files: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Map:
    """The shape of an object with any keys.

    of: shape of each value.
    keys: pattern of each key.
    """

    of: Any
    keys: str = r"[^\0]*"


@dataclass(frozen=True)
class Row:
    """The shape of a list of so many whole numbers."""

    length: int


# A shape is str, bool, int, float (whole numbers too), a dict (a key with ? may be missing), [of
# what a list is], Map or Row; a tuple of types takes any of them.
TEXTS = [str]
SYMMETRY = {"score": float, "flip": bool, "differs": TEXTS, "sentence": str}
VIEW = {
    "box?": Row(4),
    "tags?": TEXTS,
    "confidence?": float,
    "symmetry?": SYMMETRY,
    "pixels?": Row(2),
    "bucket?": Row(2),
    "enlarged?": float,
    "soft?": bool,
    "shows?": Map(float),
    "*": None,
}
DECISION = {"kept": bool, "reasons": TEXTS, "by": str, "seed": int, "prompt": str, "caption": str}
DATA: dict[str, dict[str, Any]] = {
    "prepare": {"mask_confidence?": float, "substeps?": TEXTS, "unwidened?": Row(4)},
    "crop": {"views?": Map(VIEW), "symmetry?": SYMMETRY, "repeats?": int},
    "caption": {
        "traits?": [{"tag": str, "category": str, "seen": int, "visible": int, "pictures?": int}],
        "seen?": Map(TEXTS),
        "doubts?": Map([{"tag": str, "reason": str}]),
    },
    # A picture's name becomes the name of a file, so it must be a number.
    "regularize": {"decisions?": Map(DECISION, "[0-9]{1,9}"), "placing?": str, "moving?": str},
    "train": {
        "budget?": str,
        "blocks?": TEXTS,
        "warnings?": TEXTS,
        "stopped?": str,
        "probes?": Map(Map(float), "[0-9]{1,6}"),
    },
    "plot": {
        "recommendation?": {
            "epoch": int,
            "strength": float,
            "preset": str,
            "lora": str,
            "reason": str,
            "prompt?": str,
            "confidence?": float,
        }
    },
    "trigger": {"departures?": Map(float)},
}


def record_from(stage: str, values: Any) -> StageRecord:
    """The record in JSON values.

    Raises: WorkspaceError, naming the first value of another kind.
    """
    shape = {
        "fingerprint": str,
        "complete": bool,
        "files": Map(str),
        "data": {"notes?": TEXTS, **DATA.get(stage, {}), "*": None},
    }
    check(values, shape, f"log/{stage}.json")
    decisions = values["data"].get("decisions", {}) if stage == "regularize" else {}
    for key in ("placing", "moving") if stage == "regularize" else ():
        if values["data"].get(key) and values["data"][key] not in decisions:
            # Killed between the two writes: there is no decision left to go on with.
            values["data"][key] = ""
    return StageRecord(
        stage, values["fingerprint"], values["complete"], values["files"], values["data"]
    )


def check(value: Any, shape: Any, at: str) -> None:
    """Raises: WorkspaceError, for a value from JSON that has another shape.

    at: where the value stands, in words.
    """
    if isinstance(shape, dict):
        _check_object(value, shape, at)
    elif isinstance(shape, Map):
        _expect(isinstance(value, dict), value, at, "an object")
        for key, each in value.items():
            if not re.fullmatch(shape.keys, key):
                raise WorkspaceError(
                    f"{at}: found the name {key[:60]!a}, expected one as the program writes them"
                )
            check(each, shape.of, f"{at}, {key[:60]!a}")
    elif isinstance(shape, list):
        _expect(isinstance(value, list), value, at, "a list")
        for each in value:
            check(each, shape[0], at)
    elif isinstance(shape, Row):
        whole = (
            isinstance(value, list)
            and len(value) == shape.length
            and all(_is_whole(each) for each in value)
        )
        _expect(whole, value, at, f"{shape.length} whole numbers")
    elif shape is int:
        _expect(_is_whole(value), value, at, "a whole number")
    elif shape is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _expect(number and math.isfinite(value) and abs(value) <= LARGEST, value, at, "a number")
    elif isinstance(shape, tuple):
        _expect(isinstance(value, shape), value, at, "text or null")
    else:
        _expect(isinstance(value, shape), value, at, {str: "text", bool: "true or false"}[shape])


def _check_object(value: Any, shape: Mapping[str, Any], at: str) -> None:
    _expect(isinstance(value, dict), value, at, "an object")
    names = {key.removesuffix("?") for key in shape}
    if "*" not in shape and (other := sorted(set(value) - names)):
        raise WorkspaceError(
            f"{at}: found the name {other[0][:60]!a}, expected {', '.join(sorted(names))}"
        )
    for key, of in shape.items():
        name = key.removesuffix("?")
        if key == "*" or (key.endswith("?") and name not in value):
            continue
        if name not in value:
            raise WorkspaceError(f"{at}: found no '{name}', expected one")
        check(value[name], of, f"{at}, {name}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _expect(fits: bool, value: Any, at: str, what: str) -> None:
    if not fits:
        kind = "null" if value is None else type(value).__name__
        raise WorkspaceError(
            f"{at}: found"
            f" {kind if isinstance(value, dict | list) or value is None else repr(value)[:60]},"
            f" expected {what}"
        )
