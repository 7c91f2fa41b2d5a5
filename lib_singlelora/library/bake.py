"""A copy of a LoRA with block weights multiplied in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import LoraKeyError
from ..files.fileio import file_hash, fingerprint
from ..lora.bake import bake, modules_of_weights
from ..lora.checkpoints import read_weights
from ..lora.files import LoraFile, read_lora, save_lora
from ..naming.block_weights import BlockWeights, expand_preset, fits_layout, parse_block_weights
from ..naming.blocks import LAYOUTS
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


def bake_preset(
    path: Path,
    lora: LoraFile | None,
    preset: str,
    workspace: Workspace,
    presets: Mapping[str, str],
    checkpoint: Path,
) -> Path:
    """A copy of the LoRA with the block weights multiplied in; any host loads it at any strength.

    Where all blocks count 1 it is the file itself, or, of a file that not every host reads as it
    is, a copy with kohya's keys.

    path: of the LoRA.
    lora: its contents, where they are read already.
    preset: block weights, by name or written out.
    presets: the known ones by name.
    checkpoint: the loaded one, of which a DoRA may need weights.
    Raises: LoraFileError, PresetError, CheckpointError.
    """
    lora = lora or read_lora(path)
    for note in lora.notes:
        logger.warning("%s: %s", lora.name, note)
    weights = parse_block_weights("ALL", lora.layout, presets)
    if (
        preset_key(preset, presets) == "ALL"
        and not lora.renamed
        and not modules_of_weights(lora, weights)
    ):
        return path
    values = expand_preset(preset, presets)
    fitting = [layout.name for layout in LAYOUTS if fits_layout(values, layout)]
    if fitting and lora.layout.name not in fitting:
        raise LoraKeyError(
            f"{lora.name}: found a LoRA for {lora.layout.name}, expected one for"
            f" {' or '.join(fitting)} as the block weights {preset} are. Was it trained for another"
            " base model?"
        )
    weights = parse_block_weights(preset, lora.layout, presets)
    mark = fingerprint(file_hash(path), str(weights))
    target = workspace.plots / "baked" / f"{path.stem}-{mark}.safetensors"
    if not target.exists():
        needed = checkpoint_weights(lora, weights, 1.0, checkpoint)
        save_lora(target, bake(lora, weights, 1.0, preset, needed))
    return target
