"""Single weights of a checkpoint file, where a LoRA's effect depends on them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from ..families.family import UNET
from ..families.registry import FAMILIES
from ..files.weights import BROKEN, UnreadableWeights, is_safetensors, read_header, read_weight_file
from ..naming.blocks import is_text
from ..naming.open_clip import open_clip_name

OLDER_TEXT = "cond_stage_model."  # where older converters put SD 1's text encoder


@dataclass(frozen=True)
class _Place:
    """Where a file may hold a weight.

    third: 0, 1 or 2 for a third of the tensor's rows; None for all of it.
    """

    key: str
    third: int | None = None

    def of(self, tensor: Tensor) -> Tensor:
        return tensor if self.third is None else tensor.chunk(3)[self.third].clone()


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
                place = _place(path, name, there)
                weights[name] = place.of(file.get_tensor(place.key))
    except (SafetensorError, UnreadableWeights, OSError, *BROKEN) as error:
        raise CheckpointError(
            f"{path.name}: found no whole safetensors ({error}), expected a checkpoint"
            " .safetensors; copy or convert it again"
        ) from None
    return weights


def _place(path: Path, name: str, there: Container[str]) -> _Place:
    """Raises: CheckpointError, where the file has no such module."""
    for place in _places(name):
        if place.key in there:
            return place
    raise CheckpointError(
        f"{path.name}: found no weight of {name}, expected one; name the checkpoint that the LoRA"
        " is for"
    )


def _picked(path: Path, tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """As `read_weights`, of a pickle's tensors: a pickle can only be read whole."""
    places = {name: _place(path, name, tensors) for name in names}
    return {name: place.of(tensors[place.key]) for name, place in places.items()}


def _places(name: str) -> Iterator[_Place]:
    """Where the files of each family hold a module's weight, by its canonical name."""
    if not is_text(name):
        yield _Place(f"{UNET}{name}.weight")
        return
    for family in FAMILIES:
        for encoder in family.text_encoders:
            if not name.startswith(f"{encoder.prefix}text_model."):
                continue
            if encoder.dialect == "transformers":
                yield _Place(f"{encoder.keys}{name.removeprefix(encoder.prefix)}.weight")
            elif found := open_clip_name(name):
                yield _Place(encoder.keys + found.tensor("weight"), found.third)
    yield _Place(f"{OLDER_TEXT}{name}.weight")
