"""The WebUI's list of checkpoints."""

from __future__ import annotations

from pathlib import Path

from modules import hashes, sd_models, shared

from ...errors import CheckpointError
from ...host import AskedPreset, CheckpointInfo
from ...settings.preset_files import preset_of

NATIVE_SIZES = {"sd1": 512, "sd2": 768}  # pixels, by the layout's name


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


def checkpoint_info(checkpoint: sd_models.CheckpointInfo, native_size: int) -> CheckpointInfo:
    """A checkpoint of the WebUI's list.  native_size: where its metadata names none."""
    path = Path(checkpoint.filename)
    sha256 = (
        checkpoint.sha256
        or hashes.sha256(checkpoint.filename, f"checkpoint/{checkpoint.name}")
        or ""
    )
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
    )
