"""Which LoRA file is meant, and the same file with block weights in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import LoraFileError, LoraKeyError
from ..fileio import file_hash, fingerprint, is_own_file
from ..lora.bake import bake, modules_of_weights
from ..lora.checkpoints import read_weights
from ..lora.files import LoraFile, read_lora, save_lora
from ..naming.blocks import SD1
from ..naming.presets import BlockWeights, fits, parse_block_weights, written_out
from ..settings import Settings
from ..workspace import Workspace
from .publishing import published_name
from .recommending import saved_recommendation
from .train import epoch_files, no_loras
from .weighting import spelled

logger = logging.getLogger(__name__)


def choose_lora(settings: Settings, workspace: Workspace, asked: str = "") -> Path:
    """The file of an epoch's number, of a name that prompts use, or of a path; '' takes the recommended one, else the last.

    Raises: LoraFileError, when it is not there.
    """
    files, best, asked = epoch_files(workspace, settings), saved_recommendation(workspace), asked.strip()
    if not asked:
        if not files and best is None:
            raise no_loras(workspace)
        return best.lora if best else files[max(files)]
    every = [*files.values(), *made_files(workspace)]
    named = {**{published_name(workspace, settings, path): path for path in every}, **{path.stem: path for path in every},
             **{str(epoch): path for epoch, path in files.items()}}
    path = named.get(asked, Path(asked).expanduser())
    if path.is_dir():
        path = of_workspace(path)
    if not path.is_file():
        there = ", ".join(map(str, files)) or "none is trained"
        raise LoraFileError(f"{asked}: found no such LoRA, expected an epoch ({there}), a file, or another workspace; check the "
                            "name")
    return path


def of_workspace(folder: Path) -> Path:
    """The LoRA that another workspace recommends, else its last epoch's.  Raises: WorkspaceError, LoraFileError."""
    other = Workspace(folder, create=False)
    return choose_lora(other.load_settings(), other)


def made_folder(workspace: Workspace) -> Path:
    """Where files lie that were made of the epochs."""
    return workspace.models / "made"


def made_files(workspace: Workspace) -> list[Path]:
    """The files that were made of the epochs, by name; no links."""
    return sorted(path for path in made_folder(workspace).glob("*.safetensors") if is_own_file(path))


def weights_for(lora: LoraFile, weights: BlockWeights, strength: float, checkpoint: Path) -> dict[str, Tensor] | None:
    """The checkpoint's weights that a bake needs; None where it needs none.  Raises: CheckpointError."""
    needed = modules_of_weights(lora, weights, strength)
    return read_weights(checkpoint, needed) if needed else None


def baked(path: Path, lora: LoraFile | None, preset: str, workspace: Workspace, presets: Mapping[str, str],
          checkpoint: Path) -> Path:
    """A copy of the LoRA with the block weights multiplied in; any host loads it at any strength.

    With no weights the file itself, or a copy with kohya's keys of one that not every host reads as it is.

    lora: the file read, where that is at hand.  checkpoint: the loaded one, of which a DoRA may need weights.
    Raises: LoraFileError, PresetError, CheckpointError.
    """
    lora = lora or read_lora(path)
    for note in lora.notes:
        logger.warning("%s: %s", lora.name, note)
    weights = parse_block_weights("ALL", lora.layout, presets)
    if spelled(preset, presets) == "ALL" and not lora.renamed and not modules_of_weights(lora, weights):
        return path
    if fits(written_out(preset, presets), SD1) and lora.layout.name == "sdxl":
        raise LoraKeyError(f"{lora.name}: found a LoRA for sdxl, expected one for sd1 as the block weights {preset} are. Was it "
                           "trained for another base model?")
    weights = parse_block_weights(preset, lora.layout, presets)
    target = workspace.plots / "baked" / f"{path.stem}-{fingerprint(file_hash(path), str(weights))}.safetensors"
    if not target.exists():
        save_lora(target, bake(lora, weights, 1.0, preset, weights_for(lora, weights, 1.0, checkpoint)))
    return target
