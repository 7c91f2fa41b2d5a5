"""Single weights of a checkpoint file, where a LoRA's effect depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from ..files.weights import BROKEN, UnreadableWeights, is_safetensors, read_header, read_weight_file
from ..naming.blocks import is_text

UNET = "model.diffusion_model."
# Where the text encoders lie whose modules keep their names: SD 1.x (older and newer converters),
# SDXL's first one.
TEXT = (
    "cond_stage_model.transformer.",
    "cond_stage_model.",
    "conditioner.embedders.0.transformer.",
)


def read_weights(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Canonical module name -> weight, of a checkpoint with LDM's keys.

    Nothing else of a safetensors file is read.
    Raises: CheckpointError, for a file that is missing or broken, or that lacks one of the modules.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: found no such file, expected a checkpoint .safetensors; check the path"
        )
    weights = {}
    try:
        if not is_safetensors(path):
            return _picked(path, read_weight_file(path)[0], names)
        read_header(path)
        with safe_open(path, "pt") as file:
            there = set(file.keys())
            for name in names:
                key = next((key for key in _keys(name) if key in there), None)
                if key is None:
                    raise CheckpointError(
                        f"{path.name}: found no weight of {name}, expected one; name the checkpoint"
                        " that the LoRA is for"
                    )
                weights[name] = file.get_tensor(key)
    except (SafetensorError, UnreadableWeights, OSError, *BROKEN) as error:
        raise CheckpointError(
            f"{path.name}: found no whole safetensors ({error}), expected a checkpoint"
            " .safetensors; copy or convert it again"
        ) from None
    return weights


def _picked(path: Path, tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """As `read_weights`, of a pickle's tensors: a pickle can only be read whole."""
    found = {
        name: next((tensors[key] for key in _keys(name) if key in tensors), None) for name in names
    }
    for name, tensor in found.items():
        if tensor is None:
            raise CheckpointError(
                f"{path.name}: found no weight of {name}, expected one; name the checkpoint that"
                " the LoRA is for"
            )
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _keys(name: str) -> list[str]:
    if not is_text(name):
        return [f"{UNET}{name}.weight"]
    return [f"{prefix}{name.removeprefix('te1.')}.weight" for prefix in TEXT]
