"""A checkpoint's tensors into a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import CheckpointError
from .inspection import CheckpointFile


class _Uninitialized(TorchFunctionMode):
    """Leaves weights as they were made; on "meta" to fill them at random imports a compiler."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


@contextmanager
def unfilled() -> Iterator[None]:
    """While inside, networks are made without memory and without random numbers, for `fill`."""
    with torch.device("meta"), _Uninitialized():
        yield


def fill(
    file: CheckpointFile,
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    part: str,
    leftover: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
) -> None:
    """Give a network copies of its tensors.

    tensors: by the network's own keys.
    part: the network's name in messages.
    leftover: the checkpoint's keys that the network has no place for.

    Raises:
        CheckpointError: a tensor is missing, of another shape, or left over.
    """
    state = network.state_dict()
    missing = [key for key in state if key not in tensors]
    wrong = [key for key in state if key in tensors and tensors[key].shape != state[key].shape]
    if missing or wrong:
        first = missing[0] if missing else _shape_mismatch(wrong[0], tensors, state)
        # With the right shapes what is there is the family's, and the file lacks the rest
        remedy = "" if wrong else "download it again, or take a file of the whole checkpoint; "
        raise CheckpointError(
            f"{file.path.name}: found {len(missing)} tensors missing and {len(wrong)} of another"
            f" shape in the {part} (first: {first}), expected {file.family}; {remedy}a narrower one"
            f" needs its .yaml beside it, one as {file.family.config}"
        )
    if leftover:
        raise CheckpointError(
            f"{file.path.name}: found {len(leftover)} tensors in the {part} without a place in"
            f" {file.family} (first: {leftover[0]}), expected its blocks; use a checkpoint made"
            f" from {file.family}"
        )
    # Copies, not views of the mapped file, which LoRAs would be merged into; assigned, as the
    # network may be on "meta".
    network.load_state_dict({key: tensors[key].to(dtype, copy=True) for key in state}, assign=True)


def _shape_mismatch(key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    return f"{key} {tuple(tensors[key].shape)}, not {tuple(state[key].shape)}"
