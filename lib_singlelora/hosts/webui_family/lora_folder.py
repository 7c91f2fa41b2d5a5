"""Trained files in the WebUI's Lora folder, known to prompts and the extra-networks tab at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import networks
from modules import processing, shared
from PIL import Image

from ...errors import LoraFileError, WorkspaceError
from ...files.fileio import atomic, read_json, write_json
from ...host import LoraCard
from ...imaging.load import read_rgb

FOLDER = "singlelora"
PREVIEW_SIZE = (512, 768)  # pixels, at most


def lora_folder() -> Path:
    """The WebUI's folder of LoRAs."""
    return Path(shared.cmd_opts.lora_dir)


class LoraFolder:
    """Our files in the WebUI's Lora folder, and the names by which prompts call them.

    forget: has the host forget what it read of LoRA files, after one changed under its name.
    """

    def __init__(self, forget: Callable[[], None] = lambda: None) -> None:
        self._forget = forget
        self._names: dict[Path, str] = {}
        """File in a workspace -> its name in prompts."""

    def publish(self, card: LoraCard) -> None:
        """Copy the file into the Lora folder, write its card, and register it.

        Raises:
            WorkspaceError: the folder cannot be written.
        """
        folder = lora_folder() / FOLDER / card.folder
        name = _free_name(card.name, folder)
        target = folder / f"{name}.safetensors"
        changed = not target.exists() or not _same_content(target, card.path)
        if changed:
            _copy(card.path, target)
            networks.networks_in_memory.pop(name, None)
            _empty_prompt_cache()
            self._forget()
        _write_card(target, card)
        self._names[card.path] = name
        if changed or name not in networks.available_networks:
            register(name, target)

    def name_of(self, path: Path) -> str:
        """The name by which a prompt calls a file, published or not.

        Raises:
            LoraFileError: there is no such file.
        """
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
        """Every published file by its name; read from disk, so that it holds after a restart."""
        files = sorted((lora_folder() / FOLDER).glob("*/*.safetensors"))
        return {path.stem: path for path in files if not path.parent.name.startswith(".")}


def _empty_prompt_cache() -> None:
    """Have the WebUI encode the next prompt, whose text may name a LoRA that has changed.

    It keeps the last prompt's conditioning, by the prompt and the LoRAs' names.
    Source: AUTOMATIC1111 1.10.1, modules/processing.py, get_conds_with_caching.
    """
    kinds = (processing.StableDiffusionProcessing, processing.StableDiffusionProcessingTxt2Img)
    for kind in kinds:
        for name in ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc"):
            cache = getattr(kind, name, None)
            if isinstance(cache, list):
                cache[:] = [None] * len(cache)


def register(name: str, path: Path) -> None:
    """Add one file to the Lora extension's lists, as its own scan does."""
    import network

    entry = network.NetworkOnDisk(name, str(path))
    networks.available_networks[name] = entry
    if entry.alias in networks.available_network_aliases:
        networks.forbidden_network_aliases[entry.alias.lower()] = 1
    networks.available_network_aliases[name] = entry
    networks.available_network_aliases[entry.alias] = entry


def _free_name(name: str, folder: Path) -> str:
    """The name, with a number where a LoRA of another folder bears it.

    The WebUI finds LoRAs by name, whatever their folder.
    """
    folder = folder.resolve()
    for number in range(1, 1000):
        candidate = name if number == 1 else f"{name}-sl{number}"
        known = networks.available_networks.get(candidate)
        if known is None or Path(known.filename).resolve().parent == folder:
            return candidate
    raise LoraFileError(f"{name}: found 999 other LoRAs of this name; delete some")


def _same_content(first: Path, second: Path) -> bool:
    first_stat = first.stat()
    second_stat = second.stat()
    if os.path.samestat(first_stat, second_stat):
        return True
    return first_stat.st_size == second_stat.st_size and first.read_bytes() == second.read_bytes()


def _copy(source: Path, target: Path) -> None:
    """A copy, no hard link: a tool that edits metadata in place would change the workspace too."""
    with atomic(target) as target_file, source.open("rb") as source_file:
        shutil.copyfileobj(source_file, target_file)


def _write_card(target: Path, card: LoraCard) -> None:
    """The WebUI's user metadata and thumbnail; what the user wrote there is kept."""
    # Not "sd version": the WebUI reads it off the file's own metadata.
    defaults: dict[str, object] = {
        "description": card.description,
        "activation text": card.trigger,
        "preferred weight": 0,
        "notes": "",
    }
    path = target.with_suffix(".json")
    existing: object = None
    with contextlib.suppress(OSError, WorkspaceError):
        existing = read_json(path)
    if isinstance(existing, dict):
        merged = {**defaults, **existing}
        if merged != existing:
            write_json(path, merged)
    elif not os.path.lexists(path):
        write_json(path, defaults)
    # A card that cannot be read is the user's all the same: it stays, and no training ends by it.
    _write_preview(target.with_suffix(".preview.png"), card.preview)


def _write_preview(target: Path, picture: Path | None) -> None:
    if picture is None:
        return
    if target.exists() and target.stat().st_mtime_ns >= picture.stat().st_mtime_ns:
        return
    thumbnail = read_rgb(picture)
    thumbnail.thumbnail(PREVIEW_SIZE, Image.Resampling.LANCZOS)
    with atomic(target) as file:
        thumbnail.save(file, "PNG")
