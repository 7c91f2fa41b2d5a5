"""The WebUI's list of checkpoints."""

from __future__ import annotations

from pathlib import Path

from modules import hashes, sd_models, shared

from ...errors import CheckpointError
from ...families.family import Family
from ...families.recognition import recognize
from ...families.sd1 import SD1
from ...files.weights import UnreadableWeights, read_header
from ...host import AskedPreset, CheckpointInfo
from ...settings.preset_files import preset_of


def next_checkpoint() -> sd_models.CheckpointInfo | None:
    """The checkpoint that the WebUI loads when a model is first needed; None where it has none.

    Source: AUTOMATIC1111 1.10.1, modules/sd_models.py, select_checkpoint, which also prints.
    """
    chosen = sd_models.checkpoint_aliases.get(shared.opts.sd_model_checkpoint or "")
    return chosen or next(iter(sd_models.checkpoints_list.values()), None)


def checkpoint_named(name: str) -> sd_models.CheckpointInfo:
    """A checkpoint of the WebUI's by its name, or a part of it, as the WebUI itself reads names.

    Raises:
        CheckpointError: the WebUI has none of this name.
    """
    checkpoint = sd_models.get_closet_checkpoint_match(name)  # the WebUI's own spelling
    if checkpoint is None:
        known = sorted(Path(info.filename).stem for info in sd_models.checkpoints_list.values())
        raise CheckpointError(
            f"{name}: found no such checkpoint in the WebUI, expected one of {', '.join(known)}"
        )
    return checkpoint


def asked_preset(checkpoint: sd_models.CheckpointInfo | None) -> AskedPreset:
    """The preset that a checkpoint of the WebUI's list asks for."""
    if checkpoint is None:
        return AskedPreset()
    return AskedPreset(preset_of(checkpoint.metadata), Path(checkpoint.filename).stem)


def file_family(checkpoint: sd_models.CheckpointInfo) -> Family:
    """The family of a checkpoint that is not loaded, by its file; SD1 for a pickle, left unread.

    Raises:
        CheckpointError: it is of none that can be used; what it is, and what to do.
    """
    try:
        header = read_header(Path(checkpoint.filename))
    except (OSError, UnreadableWeights):
        return SD1  # the WebUI says what is wrong with it when it loads it
    return recognize(header.shapes, checkpoint.name)


def checkpoint_info(checkpoint: sd_models.CheckpointInfo, family: Family) -> CheckpointInfo:
    """A checkpoint of the WebUI's list."""
    path = Path(checkpoint.filename)
    sha256 = (
        checkpoint.sha256
        or hashes.sha256(checkpoint.filename, f"checkpoint/{checkpoint.name}")
        or ""
    )
    native_size = family.native_size
    text = str(checkpoint.metadata.get("native_size", "")) if checkpoint.metadata else ""
    if text.isdecimal() and 64 <= int(text) <= 2048:
        native_size = int(text)
    return CheckpointInfo(
        name=path.stem,
        path=path,
        native_size=native_size,
        legacy_hash=sd_models.model_hash(checkpoint.filename),
        sha256=sha256,
        preset=preset_of(checkpoint.metadata),
        family=family,
    )
