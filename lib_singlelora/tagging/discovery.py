"""Where taggers lie: folders with `model.onnx` and `selected_tags.csv`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .download import FILES, NAMES, OWNER

# For what is downloaded, where the host has no place for it
HOME = Path(__file__).parent.parent.parent / "models" / "taggers"
NEWEST = "tagger-v3"


def is_tagger(folder: Path) -> bool:
    """Whether both files are there."""
    return all((folder / name).is_file() for name in FILES)


def find_taggers(places: Iterable[Path]) -> list[Path]:
    """The taggers in these folders and up to three levels below them, v3 before older ones, each
    once.
    """
    found = dict.fromkeys(folder for place in places for folder in _below(place))
    return sorted(found, key=lambda folder: NEWEST not in str(folder))


def _below(place: Path) -> Iterator[Path]:
    for pattern in ("", "*", "*/*", "*/*/*"):
        for folder in sorted(place.glob(pattern)) if pattern else [place]:
            if is_tagger(folder):
                yield folder


def cached_by_the_hub(name: str) -> list[Path]:
    """Where the Hub's own programs keep a tagger of this name."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(
        os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or home / "hub"
    )
    return find_taggers(sorted((cache / f"models--{OWNER}--{name}" / "snapshots").glob("*")))


def known_name(text: str) -> str:
    """The name of a tagger that can be downloaded, or ''."""
    name = text.strip().removeprefix(f"{OWNER}/").lower()
    return name if name in NAMES else ""


def named(name: str, there: Iterable[Path]) -> Path | None:
    """The tagger of this name among folders: its own folder, or one within a folder of that name,
    as the Hub's cache has it.
    """
    for folder in there:
        if any(
            part.lower() in (name.lower(), f"models--{OWNER}--{name}".lower())
            for part in folder.parts[-4:]
        ):
            return folder
    return None


def can_run() -> bool:
    """Whether onnxruntime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None
