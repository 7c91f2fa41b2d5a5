"""Epochs of one training merged into one LoRA: their mean, or one that weights later ones more.

Tensor by tensor, like an average kept during the training: epochs of one training are close to one
another, where the product of the mean factors is nearly the mean of the products.  The
deviation says how nearly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..errors import LoraFileError
from .files import LoraFile
from .history import with_step

Method = Literal["average", "ema"]
METHODS: tuple[Method, ...] = ("average", "ema")
DECAY = 0.7
FAR = 0.25  # of a deviation; epochs of one training stay well below


@dataclass(frozen=True)
class Merged:
    """A merged LoRA.

    shares: weight of each file, in their order.
    deviation: ‖ΔW - mean‖ / ‖mean‖, for the weighted mean of the files' ΔW.
    """

    lora: LoraFile
    shares: tuple[float, ...]
    deviation: float


def epoch_shares(count: int, method: Method, decay: float = DECAY) -> tuple[float, ...]:
    """The weight of each of `count` epochs, oldest first; they add up to 1.

    method: `ema` gives an epoch `decay` times the weight of the next one, as a moving average with
        bias correction does.
    Source: Kingma & Ba 2015 (Adam), section 3.
    Raises: LoraFileError, for a decay outside 0 to 1.
    """
    if method == "average":
        return (1 / count,) * count
    if not 0 < decay < 1:
        raise LoraFileError(
            f"decay: found {decay:g}, expected a number between 0 and 1, such as {DECAY}"
        )
    raw = [decay ** (count - 1 - i) for i in range(count)]
    return tuple(value / math.fsum(raw) for value in raw)


def merge(loras: Sequence[LoraFile], method: Method = "average", decay: float = DECAY) -> Merged:
    """One LoRA of several epochs, oldest first, with the last one's metadata and precision.

    Raises: LoraFileError, for fewer than two, or for files that are not epochs of one training.
    """
    if len(loras) < 2:
        raise LoraFileError(
            f"found {len(loras)} LoRA to merge, expected two or more; name the files of several"
            " epochs"
        )
    for other in loras[1:]:
        _check_alike(loras[0], other)
    shares = epoch_shares(len(loras), method, decay)
    tensors = {
        key: _mean([lora.tensors[key] for lora in loras], shares) for key in loras[-1].tensors
    }
    names = [lora.name for lora in loras]
    how = f"ema with a decay of {decay:g}" if method == "ema" else "average"
    told = {"ss_merged_from": json.dumps(names, ensure_ascii=False), "ss_merged_method": how}
    metadata = with_step(loras[-1].metadata, f"merged {', '.join(names)} by {how}", told)
    merged = replace(loras[-1], tensors=tensors, metadata=metadata)
    return Merged(merged, shares, _deviation(merged, loras, shares))


def _check_alike(first: LoraFile, other: LoraFile) -> None:
    def refuse(found: str, expected: str) -> LoraFileError:
        return LoraFileError(
            f"{other.name}: found {found}, expected {expected} as in {first.name}; merge epochs of"
            " one training"
        )

    if other.layout.name != first.layout.name:
        raise refuse(f"a LoRA for {other.layout.name}", f"one for {first.layout.name}")
    if differing := sorted(first.tensors.keys() ^ other.tensors.keys()):
        missing = differing[0] in first.tensors
        raise refuse(f"{'no ' if missing else ''}{differing[0]}", "it" if missing else "none")
    for key, tensor in first.tensors.items():
        if other.tensors[key].shape != tensor.shape:
            raise refuse(
                f"{key} of shape {tuple(other.tensors[key].shape)}", f"{tuple(tensor.shape)}"
            )
        if key.endswith(".alpha") and float(other.tensors[key]) != float(tensor):
            raise refuse(f"{key} {float(other.tensors[key]):g}", f"{float(tensor):g}")


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor, share in zip(tensors, shares, strict=True):
        total += tensor.double() * share
    return total.to(tensors[-1].dtype)


def _deviation(merged: LoraFile, loras: Sequence[LoraFile], shares: Sequence[float]) -> float:
    off = 0.0
    whole = 0.0
    for stem in merged.by_stem:
        wanted = torch.stack(
            [lora.delta(stem) * share for lora, share in zip(loras, shares, strict=True)]
        ).sum(0)
        off += float((merged.delta(stem) - wanted).norm()) ** 2
        whole += float(wanted.norm()) ** 2
    return math.sqrt(off / whole) if whole else 0.0
