"""A copy of a LoRA with block weights multiplied in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import LoraKeyError
from ..families.registry import family_of
from ..files.fileio import file_hash, fingerprint
from ..host import CheckpointInfo
from ..lora.bake import bake, modules_of_weights
from ..lora.checkpoints import read_weights
from ..lora.files import LoraFile, read_lora, save_lora
from ..naming.block_weights import BlockWeights, parse_block_weights
from ..workspace.workspace import Workspace
from .block_presets import preset_key

logger = logging.getLogger(__name__)


def checkpoint_weights(
    lora: LoraFile, weights: BlockWeights, strength: float, checkpoint: Path
) -> dict[str, Tensor] | None:
    """The checkpoint's weights that a bake needs; None where it needs none.

    Raises: CheckpointError.
    """
    needed = modules_of_weights(lora, weights, strength)
    return read_weights(checkpoint, needed) if needed else None


def require_family(lora: LoraFile, checkpoint: CheckpointInfo) -> None:
    """Check that a LoRA is for checkpoints with such blocks.

    Between SD 1 and SD 2, whose modules have the same names, only shapes tell, when it is applied.
    Raises: LoraKeyError.
    """
    family = checkpoint.family
    if lora.layout.labels != family.layout.labels:
        raise LoraKeyError(
            f"{lora.name}: found a LoRA for {family_of(lora.layout)}, expected one for {family} as"
            f" {checkpoint.name} is. Was it trained for another base model? Use it with a"
            " checkpoint of that"
        )


def bake_preset(
    path: Path,
    lora: LoraFile | None,
    preset: str,
    workspace: Workspace,
    presets: Mapping[str, str],
    checkpoint: CheckpointInfo,
) -> Path:
    """A copy of the LoRA with the block weights multiplied in; any host loads it at any strength.

    Where all blocks count 1 it is the file itself, or, of a file that not every host reads as it
    is, a copy with kohya's keys.

    path: of the LoRA.
    lora: its contents, where they are read already.
    preset: block weights, by name or written out.
    presets: the known ones by name.
    checkpoint: the loaded one, which the LoRA is for, and of which a DoRA may need weights.
    Raises: LoraFileError, PresetError, CheckpointError.
    """
    lora = lora or read_lora(path)
    require_family(lora, checkpoint)
    for note in lora.notes:
        logger.warning("%s: %s", lora.name, note)
    weights = parse_block_weights("ALL", lora.layout, presets)
    if (
        preset_key(preset, presets) == "ALL"
        and not lora.renamed
        and not modules_of_weights(lora, weights)
    ):
        return path
    weights = parse_block_weights(preset, lora.layout, presets)
    mark = fingerprint(file_hash(path), str(weights))
    target = workspace.plots / "baked" / f"{path.stem}-{mark}.safetensors"
    if not target.exists():
        needed = checkpoint_weights(lora, weights, 1.0, checkpoint.path)
        save_lora(target, bake(lora, weights, 1.0, preset, needed))
    return target
