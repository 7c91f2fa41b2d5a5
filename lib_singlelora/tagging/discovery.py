"""Finding taggers: folders with `model.onnx` and `selected_tags.csv`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .download import FILES, NAMES, OWNER

# For downloads, if the host has no folder for them.
HOME = Path(__file__).parent.parent.parent / "models" / "taggers"
NEWEST = "tagger-v3"


def is_tagger(folder: Path) -> bool:
    """True if the folder has both files."""
    return all((folder / name).is_file() for name in FILES)


def find_taggers(places: Iterable[Path]) -> list[Path]:
    """The taggers in these folders and up to three levels below, v3 first, without duplicates."""
    folders = dict.fromkeys(folder for place in places for folder in _below(place))
    return sorted(folders, key=lambda folder: NEWEST not in str(folder))


def _below(place: Path) -> Iterator[Path]:
    for pattern in ("", "*", "*/*", "*/*/*"):
        for folder in sorted(place.glob(pattern)) if pattern else [place]:
            if is_tagger(folder):
                yield folder


def cached_by_the_hub(name: str) -> list[Path]:
    """The folders of a tagger in the cache of the Hub's own programs."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(
        os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or home / "hub"
    )
    return find_taggers(sorted((cache / f"models--{OWNER}--{name}" / "snapshots").glob("*")))


def known_name(text: str) -> str:
    """The name of a tagger that can be downloaded, or ''."""
    name = text.strip().removeprefix(f"{OWNER}/").lower()
    return name if name in NAMES else ""


def named(name: str, folders: Iterable[Path]) -> Path | None:
    """The first of the folders that is of a tagger of this name, or None.

    The folder has that name itself, or lies within one that has it, as in the Hub's cache.
    """
    names = (name.lower(), f"models--{OWNER}--{name}".lower())
    for folder in folders:
        if any(part.lower() in names for part in folder.parts[-4:]):
            return folder
    return None


def can_run() -> bool:
    """True if onnxruntime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None
