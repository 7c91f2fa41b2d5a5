"""The WebUI's list of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from modules import hashes, sd_models, shared

from ...errors import CheckpointError
from ...families.family import Family, Prediction
from ...families.parameterization import parameterization_of
from ...families.recognition import recognize
from ...families.sd1 import SD1
from ...files.weights import UnreadableWeights, read_header
from ...host import AskedPreset, CheckpointInfo
from ...settings.preset_files import preset_of
from ..v_config import predicts_v


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


def metadata_of(checkpoint: sd_models.CheckpointInfo) -> Mapping[str, str]:
    """A checkpoint's own metadata, from its file where the program's list has none."""
    if checkpoint.metadata:
        return checkpoint.metadata
    path = Path(checkpoint.filename)
    try:
        return _file_metadata(path, path.stat().st_mtime_ns)
    except (OSError, UnreadableWeights):
        return {}  # a pickle, or what the program says is wrong with it


@lru_cache(maxsize=64)  # pages ask every second
def _file_metadata(path: Path, mtime_ns: int) -> Mapping[str, str]:
    return read_header(path).metadata


def asked_preset(checkpoint: sd_models.CheckpointInfo | None) -> AskedPreset:
    """The preset that a checkpoint of the WebUI's list asks for."""
    if checkpoint is None:
        return AskedPreset()
    path = Path(checkpoint.filename)
    said = _said_of(path)
    usual = said.family.preset_for(said.prediction) if said else SD1.preset
    return AskedPreset(preset_of(metadata_of(checkpoint), usual), path.stem)


@dataclass(frozen=True)
class _Said:
    """What a file says of itself."""

    family: Family
    prediction: Prediction


def _said_of(path: Path) -> _Said | None:
    """What a checkpoint's file and the config beside it say; None for nothing.

    Pages ask every second: a header is read once for each version of the file.
    """
    config = path.with_suffix(".yaml")
    try:
        return _read(path, path.stat().st_mtime_ns, config.exists() and config.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _read(path: Path, modified: int, config_modified: int) -> _Said | None:
    """The same, by when the files were changed; config_modified: 0 without a config."""
    try:
        header = read_header(path)
        family = recognize(header.shapes, path.name)
    except (OSError, UnreadableWeights, CheckpointError):
        return None
    config: Prediction | None = None
    if config_modified:
        text = path.with_suffix(".yaml").read_text(encoding="utf-8", errors="replace")
        config = "v_prediction" if predicts_v(text) else None
    told = parameterization_of(family, header.shapes, header.metadata, config)
    return _Said(family, told.prediction)


def file_family(checkpoint: sd_models.CheckpointInfo) -> Family:
    """The family of a checkpoint that is not loaded, by its file; SD1 for a pickle, left unread.

    Raises:
        CheckpointError: it is of none that can be used; what it is, and what to do.
    """
    try:
        header = read_header(Path(checkpoint.filename))
    except FileNotFoundError:  # Forge moves away what it cannot read
        raise CheckpointError(
            f"{checkpoint.name}: found its file gone from {Path(checkpoint.filename).parent},"
            " expected it there; refresh the list of checkpoints and choose another"
        ) from None
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
    text = str(metadata_of(checkpoint).get("native_size", ""))
    if text.isdecimal() and 64 <= int(text) <= 2048:
        native_size = int(text)
    said = _said_of(path)
    prediction = said.prediction if said else family.prediction
    return CheckpointInfo(
        name=path.stem,
        path=path,
        native_size=native_size,
        legacy_hash=sd_models.model_hash(checkpoint.filename),
        sha256=sha256,
        preset=preset_of(metadata_of(checkpoint), family.preset_for(prediction)),
        family=family,
        prediction=prediction,
        title=str((checkpoint.metadata or {}).get("modelspec.title", "")),
    )
