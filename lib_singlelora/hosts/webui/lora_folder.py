"""Trained files in the WebUI's Lora folder: found by prompts and by the extra-networks tab at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import networks
from modules import shared
from PIL import Image

from ...errors import LoraFileError, WorkspaceError
from ...files.fileio import atomic, read_json, write_json
from ...host import LoraCard
from ...imaging.load import read_rgb

FOLDER = "singlelora"
PREVIEW = (512, 768)


def lora_folder() -> Path:
    """The WebUI's folder of LoRAs."""
    return Path(shared.cmd_opts.lora_dir)


class LoraFolder:
    """What of ours the WebUI's Lora extension knows.

    names: file in a workspace -> what prompts call it.
    """

    def __init__(self) -> None:
        self._names: dict[Path, str] = {}

    def publish(self, card: LoraCard) -> None:
        """Copy the file into the Lora folder, write its card, and make it known.

        Raises: WorkspaceError, when the folder cannot be written.
        """
        folder = lora_folder() / FOLDER / card.folder
        name = _unique(card.name, folder)
        target = folder / f"{name}.safetensors"
        fresh = not target.exists() or not _same(target, card.path)
        if fresh:
            _place(card.path, target)
            networks.networks_in_memory.pop(name, None)
        _write_card(target, card)
        self._names[card.path] = name
        if fresh or name not in networks.available_networks:
            register(name, target)

    def name_of(self, path: Path) -> str:
        """What a prompt calls a file, published or not.  Raises: LoraFileError."""
        name = self._names.get(path)
        if name and name in networks.available_networks:
            return name
        if not path.is_file():
            raise LoraFileError(
                f"{path}: found no such LoRA file, expected a .safetensors; was it deleted?"
            )
        stat = path.stat()
        mark = hashlib.sha256(f"{path}|{stat.st_mtime_ns}|{stat.st_size}".encode()).hexdigest()[:8]
        name = f"{path.stem}-{mark}"
        if name not in networks.available_networks:
            register(name, path)
        return name

    def published(self) -> dict[str, Path]:
        """Every file of ours in the Lora folder by name, from disk, so that it holds after a
        restart too.
        """
        found = sorted((lora_folder() / FOLDER).glob("*/*.safetensors"))
        return {path.stem: path for path in found if not path.parent.name.startswith(".")}


def register(name: str, path: Path) -> None:
    """Add one file to the Lora extension's lists, as its own scan does."""
    import network

    entry = network.NetworkOnDisk(name, str(path))
    networks.available_networks[name] = entry
    if entry.alias in networks.available_network_aliases:
        networks.forbidden_network_aliases[entry.alias.lower()] = 1
    networks.available_network_aliases[name] = entry
    networks.available_network_aliases[entry.alias] = entry


def _unique(name: str, folder: Path) -> str:
    """The name, unless a LoRA elsewhere bears it; the WebUI finds files by name, whatever their
    folder.
    """
    own = folder.resolve()
    for number in range(1, 1000):
        candidate = name if number == 1 else f"{name}-sl{number}"
        known = networks.available_networks.get(candidate)
        if known is None or Path(known.filename).resolve().parent == own:
            return candidate
    raise LoraFileError(f"{name}: found 999 other LoRAs of this name; delete some")


def _same(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    return os.path.samestat(first, second) or (
        first.st_size == second.st_size and one.read_bytes() == other.read_bytes()
    )


def _place(source: Path, target: Path) -> None:
    """A copy: a hard link would let a tool that edits metadata in place change the workspace's file
    too.
    """
    with atomic(target) as file, source.open("rb") as given:
        shutil.copyfileobj(given, file)


def _write_card(target: Path, card: LoraCard) -> None:
    """The WebUI's user metadata and thumbnail; what the user wrote there himself is kept."""
    # Not "sd version": the WebUI reads it off the file's own metadata.
    data: dict[str, Any] = {
        "description": card.description,
        "activation text": card.trigger,
        "preferred weight": 0,
        "notes": "",
    }
    path, found = target.with_suffix(".json"), None
    with contextlib.suppress(OSError, WorkspaceError):
        found = read_json(path)
    if isinstance(found, dict):
        data = {**data, **found}
    # One that cannot be read is the user's all the same, and no reason for a training to end.
    if data != found and (isinstance(found, dict) or not os.path.lexists(path)):
        write_json(path, data)
    preview = target.with_suffix(".preview.png")
    if card.preview is None or (
        preview.exists() and preview.stat().st_mtime_ns >= card.preview.stat().st_mtime_ns
    ):
        return
    small = read_rgb(card.preview)
    small.thumbnail(PREVIEW, Image.Resampling.LANCZOS)
    with atomic(preview) as file:
        small.save(file, "PNG")
