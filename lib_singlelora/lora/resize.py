"""Resizing: the nearest LoRA of a smaller rank, with its error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import LoraFileError
from ..naming.keys import kohya_to_canonical
from .files import LoraFile
from .functional import algorithm_of, natural_delta, scale_of
from .history import with_step


@dataclass(frozen=True)
class ResizedModule:
    """A module's ranks before and after.

    error: ‖ΔW after - ΔW before‖ / ‖ΔW before‖, Frobenius, of ΔW as it is stored.
    """

    before: int
    after: int
    error: float


@dataclass(frozen=True)
class Resized:
    """A resized LoRA.

    modules: by canonical name.
    error: of all modules together, as a module's.
    """

    lora: LoraFile
    modules: Mapping[str, ResizedModule]
    error: float

    @property
    def ranks(self) -> tuple[int, int]:
        """The smallest and the largest rank afterwards."""
        after = [module.after for module in self.modules.values()]
        return min(after), max(after)


def resize(lora: LoraFile, rank: int | None = None, retain: float | None = None) -> Resized:
    """The LoRA cut by SVD, either to a rank or to a share of each module's norm.

    rank: of every module; one whose rank is lower already stays as it is.
    retain: share of its Frobenius norm that each module keeps at least, at the smallest rank.
    alpha follows, so that alpha / rank stays; a Tucker form becomes a plain one; of a DoRA the part
    added before the norm is cut.
    Source: Eckart & Young 1936; sd-scripts networks/resize_lora.py for the meaning of retain (its
    sv_fro).
    Raises: LoraFileError, for other algorithms, for a wrong rank or share, and when no module's
    rank is above the one wanted.
    """
    _check(lora, rank, retain)
    tensors: dict[str, Tensor] = {}
    modules: dict[str, ResizedModule] = {}
    off = 0.0
    whole = 0.0
    for stem, parts in lora.by_stem.items():
        wanted = lora.delta(stem)
        cut = _cut(parts, rank, retain)
        difference = float((natural_delta(cut) - wanted).norm())
        norm = float(wanted.norm())
        error = difference / norm if norm else 0.0
        modules[kohya_to_canonical(stem, lora.layout)] = ResizedModule(
            _rank(parts), _rank(cut), error
        )
        off = off + difference**2
        whole = whole + norm**2
        tensors.update({f"{stem}.{part}": tensor for part, tensor in cut.items()})
    how = f"rank {rank}" if rank else f"{retain:g} of each module's norm"
    resized = Resized(lora, modules, math.sqrt(off / whole) if whole else 0.0)
    lowest, highest = resized.ranks
    told = {
        "ss_network_dim": str(lowest) if lowest == highest else "Dynamic",
        "ss_resized_to": how,
        "ss_resized_from": lora.name,
        "ss_resized_error": f"{resized.error:.6g}",
    }
    alphas = {float(tensors[key]) for key in tensors if key.endswith(".alpha")}
    if alphas:
        told["ss_network_alpha"] = f"{alphas.pop()}" if len(alphas) == 1 else "Dynamic"
    sentence = f"resized {lora.name} to {how}, error {resized.error:.2%}"
    return replace(
        resized,
        lora=replace(lora, tensors=tensors, metadata=with_step(lora.metadata, sentence, told)),
    )


def _check(lora: LoraFile, rank: int | None, retain: float | None) -> None:
    if (rank is None) == (retain is None):
        raise LoraFileError(
            "found both or neither of rank and retain, expected one of them; choose what to keep to"
        )
    if rank is not None and rank < 1:
        raise LoraFileError(f"rank: found {rank}, expected 1 or more")
    if retain is not None and not 0 < retain <= 1:
        raise LoraFileError(
            f"retain: found {retain:g}, expected a share above 0 and up to 1, such as 0.95"
        )
    for name, parts in lora.modules.items():
        if (algorithm := algorithm_of(parts)) != "lora":
            raise LoraFileError(
                f"{lora.name}: {name}: found {algorithm}, expected LoRA or LoCon, whose rank an "
                "SVD can cut; use the file as it is"
            )
    largest = max(_rank(parts) for parts in lora.modules.values())
    if rank is not None and largest <= rank:
        raise LoraFileError(
            f"{lora.name}: found rank {largest}, expected one above {rank}; choose a lower rank or"
            " use the file"
        )


def _rank(parts: Mapping[str, Tensor]) -> int:
    return int(parts["lora_down.weight"].shape[0])


def _plain(parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """up and down, fp64, with the core of a Tucker form taken into down."""
    up = parts["lora_up.weight"].double()
    down = parts["lora_down.weight"].double()
    if "lora_mid.weight" in parts:
        down = torch.einsum(
            "pqhw,qi->pihw", parts["lora_mid.weight"].double(), down.reshape(down.shape[0], -1)
        )
    return up, down


def _cut(parts: Mapping[str, Tensor], rank: int | None, retain: float | None) -> dict[str, Tensor]:
    before, (up, down) = _rank(parts), _plain(parts)
    # The SVD of up · down from the triangles of its halves: rank × rank instead of out × in.
    left, left_triangle = torch.linalg.qr(up.flatten(1))
    right, right_triangle = torch.linalg.qr(down.flatten(1).T)
    u, values, v = torch.linalg.svd(left_triangle @ right_triangle.T, full_matrices=False)
    after = min(rank, len(values)) if rank is not None else _retaining(values, retain or 1.0)
    if after >= before:
        return dict(parts)
    root = values[:after].sqrt()
    new_up = (left @ u[:, :after] * root).reshape(up.shape[0], after, *up.shape[2:])
    new_down = (root[:, None] * (v[:after] @ right.T)).reshape(after, *down.shape[1:])
    others = {part: tensor for part, tensor in parts.items() if not part.startswith("lora_")}
    alpha = torch.tensor(scale_of(parts) * after, dtype=torch.float32)
    return {
        **others,
        "alpha": alpha,
        "lora_up.weight": new_up.to(parts["lora_up.weight"].dtype),
        "lora_down.weight": new_down.to(parts["lora_down.weight"].dtype),
    }


def _retaining(values: Tensor, retain: float) -> int:
    """The smallest rank whose singular values hold a share of the Frobenius norm, at least 1."""
    energy = values.square().cumsum(0)
    if not float(energy[-1]):
        return 1
    return int((energy < energy[-1] * retain**2 * (1 - 1e-12)).sum()) + 1
