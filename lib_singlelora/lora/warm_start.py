"""Warm start: a new network begins with a trained file's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import LoraFileError
from .branches import Branch, LoraBranch
from .files import LoraFile
from .functional import LINEAR_IN, rank_of
from .network import LoraNetwork


@torch.no_grad()
def start_from(network: LoraNetwork, lora: LoraFile) -> list[str]:
    """Copy a file's weights into the network; gives notes on modules that only one of both has.

    Raises: LoraFileError, for a file of another base model, algorithm or rank; the network is
        unchanged then.
    """
    if lora.layout.name != network.layout.name:
        raise LoraFileError(
            f"{lora.name}: found a LoRA for {lora.layout.name}, expected one for"
            f" {network.layout.name}; start from another, or from zero"
        )
    theirs = lora.modules
    filled = [
        (branch, _filling(branch, theirs[name], f"{lora.name}: {name}"))
        for name, branch in network.items()
        if name in theirs
    ]
    if not filled:
        raise LoraFileError(
            f"{lora.name}: found no module in it that is trained now; start from another, or from"
            " zero"
        )
    for _, filling in filled:
        for parameter, tensor in filling:
            parameter.copy_(tensor)
    names = {name for name, _ in network.items()}
    fresh = len(names - theirs.keys())
    left = len(theirs.keys() - names)
    told = (
        [f"{lora.name} has nothing for {fresh} of {len(names)} modules: they start from zero"]
        if fresh
        else []
    )
    return told + (
        [f"{lora.name}: {left} of its {len(theirs)} modules are not trained now and are left out"]
        if left
        else []
    )


def _filling(
    branch: Branch, parts: Mapping[str, Tensor], where: str
) -> list[tuple[nn.Parameter, Tensor]]:
    """(parameter, its new values) for every parameter of a branch.

    Raises: LoraFileError, for tensors that do not fit the branch.
    """
    if isinstance(branch, LoraBranch):
        own = {"lora_down.weight": branch.down, "lora_up.weight": branch.up}
    else:
        own = dict(branch.inner.named_parameters())  # type: ignore[union-attr]
    found = []
    for name, parameter in own.items():
        if name not in parts:
            raise LoraFileError(
                f"{where}: found no {name}, expected one; it was trained with another algorithm:"
                " choose that one, or start from zero"
            )
        if parts[name].shape != parameter.shape:
            raise LoraFileError(
                f"{where}: found {name} {tuple(parts[name].shape)}, expected"
                f" {tuple(parameter.shape)}; choose the rank it was trained with, or start from"
                " zero"
            )
        found.append((parameter, parts[name].to(parameter)))
    unknown = {part for part in parts if part != "alpha"} - own.keys()
    if unknown:
        raise LoraFileError(
            f"{where}: found {', '.join(sorted(unknown))}, expected only {', '.join(own)}; it was"
            " trained with another algorithm: choose that one, or start from zero"
        )
    alpha = float(parts.get("alpha", branch.rank))
    # A LoKr of whole matrices has no rank: its alpha scales nothing
    if (
        alpha != branch.alpha and rank_of(parts) is not None
    ):  # the file's strength is kept: what is linear takes up the difference
        scaled = next(index for index, name in enumerate(own) if name in LINEAR_IN)
        found[scaled] = (found[scaled][0], found[scaled][1] * (alpha / branch.alpha))
    return found
