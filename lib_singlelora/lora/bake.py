"""Baking: block weights and a strength multiplied into a LoRA, so that hosts need no LBW.

ΔW of a LoRA, LoCon, LoHa, LoKr or diff is linear in one tensor of each module, so that tensor is
multiplied.  A DoRA's is not: it brings W + ΔW to trained magnitudes, and a factor must scale what
comes of that, W' - W, as the WebUI's own strength does. (LBW multiplies the up weight before the
norm; a block at 0 still gets the magnitudes there.)  So a factor of 0 or 1 bakes into a DoRA as it
is, any other needs the checkpoint's weights, and the result is exact on that checkpoint:

    (1 - f) W + f W'  has the columns  a_j W_j + b_j ΔW_j,  where  b_j = f m_j / ‖W_j + ΔW_j‖  and
    a_j = 1 - f + b_j

which is again a DoRA, of ΔW_j b_j / a_j with the magnitudes a_j ‖W_j + ΔW_j b_j / a_j‖.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import LoraFileError
from ..naming.block_weights import BlockWeights
from ..naming.blocks import block_of
from ..naming.keys import kohya_to_canonical
from .files import LoraFile
from .functional import (
    LINEAR_IN,
    OF_THE_WEIGHT,
    PER_OUTPUT,
    algorithm_of,
    column_norms,
    dora_delta,
    of_weight,
    per_output,
    per_output_delta,
)
from .history import with_step

MAGNITUDE = "dora_scale"
MIN_DENOMINATOR = 1e-3  # of a_j; below it the division would lose digits


def bake(
    lora: LoraFile,
    weights: BlockWeights,
    strength: float = 1.0,
    preset: str = "",
    checkpoint: Mapping[str, Tensor] | None = None,
) -> LoraFile:
    """A copy that at strength 1 does what the original does with these block weights and strength.

    Products that half precision would round are stored in fp32; modules at 0 are dropped, except
    one where all are.
    preset: its name, for the metadata.
    checkpoint: canonical name -> weight, for a DoRA or OFT.
    Raises: LoraFileError, for a DoRA or OFT with a factor that needs the checkpoint's weights, and
        for a strength that is not finite.
    """
    if not math.isfinite(strength):
        raise LoraFileError(f"strength: found {strength:g}, expected a number such as 0.8")
    tensors: dict[str, Tensor] = {}
    for stem, parts in lora.by_stem.items():
        name = kohya_to_canonical(stem, lora.layout)
        label = block_of(name, lora.layout)
        factor = weights[label] * strength
        if not factor:
            continue
        if needs_weight(parts, factor):
            try:
                parts = _by_weight(
                    lora, stem, factor, _weight_of(checkpoint, parts, name, label, factor)
                )
            except LoraFileError as error:
                raise LoraFileError(f"{lora.name}: {error}") from None
        else:
            parts = _multiplied(parts, factor)
        tensors.update({f"{stem}.{part}": tensor for part, tensor in parts.items()})
    # A file without tensors is none to most readers, so one module that adds nothing is left
    if not tensors:
        stem, parts = next(iter(lora.by_stem.items()))
        tensors = {
            f"{stem}.{part}": tensor * (part not in LINEAR_IN)
            for part, tensor in parts.items()
            if part != MAGNITUDE
        }
    entries = {
        "ss_baked_preset": preset,
        "ss_baked_block_weights": str(weights),
        "ss_baked_strength": f"{strength:g}",
        "ss_baked_from": lora.name,
    }
    sentence = f"baked {preset or weights} at {strength:g} into {lora.name}"
    return replace(lora, tensors=tensors, metadata=with_step(lora.metadata, sentence, entries))


def needs_weight(parts: Mapping[str, Tensor], factor: float) -> bool:
    """True if baking a module's factor takes the checkpoint's weight.

    A DoRA's and OFT's change is linear in no tensor, so factors other than 0 and 1 do; a DoRA with
    one magnitude per output always does, as no host draws right with the file as it is.
    """
    if MAGNITUDE in parts and per_output(parts[MAGNITUDE]):
        return bool(factor)
    return factor not in (0, 1) and (MAGNITUDE in parts or algorithm_of(parts) == "oft")


def modules_of_weights(lora: LoraFile, weights: BlockWeights, strength: float = 1.0) -> list[str]:
    """Canonical names of the modules whose weights a bake needs."""
    return [
        name
        for name, parts in lora.modules.items()
        if needs_weight(parts, weights[block_of(name, lora.layout)] * strength)
    ]


def _multiplied(parts: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    return {
        part: _scaled(tensor, factor) if part in LINEAR_IN else tensor
        for part, tensor in parts.items()
    }


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    exact = tensor.float() * factor
    kept = exact.to(tensor.dtype)
    return kept if torch.equal(kept.float(), exact) else exact


def _weight_of(
    checkpoint: Mapping[str, Tensor] | None,
    parts: Mapping[str, Tensor],
    name: str,
    label: str,
    factor: float,
) -> Tensor:
    if checkpoint is None and MAGNITUDE in parts and per_output(parts[MAGNITUDE]):
        raise LoraFileError(f"{name}: found a DoRA of {PER_OUTPUT}")
    if checkpoint is None:
        kind = "a DoRA" if MAGNITUDE in parts else "OFT"
        raise LoraFileError(
            f"found {kind} and a factor of {factor:g} for {label}, expected 0 or 1: what it does"
            " depends on the checkpoint's weights; name the checkpoint, or bake 0 and 1 and set"
            " the strength in the prompt"
        )
    if name not in checkpoint:
        raise LoraFileError(
            f"{name}: found no weight of it in the checkpoint, expected the one that the DoRA"
            " is for"
        )
    return checkpoint[name]


def _by_weight(lora: LoraFile, stem: str, factor: float, weight: Tensor) -> dict[str, Tensor]:
    """A module whose effect on this weight is a factor of the original's."""
    parts = lora.by_stem[stem]
    plain = weight.double()
    if algorithm_of(parts) in OF_THE_WEIGHT:
        delta = of_weight(
            {part: tensor for part, tensor in parts.items() if part != MAGNITUDE}, weight
        ).double()
    else:
        delta = lora.delta(stem).double()
    if MAGNITUDE not in parts:
        return {"diff": (factor * delta).float()}
    if not per_output(parts[MAGNITUDE]):
        return _dora(parts, delta, factor, weight)
    if delta.numel() != weight.numel() or parts[MAGNITUDE].numel() != weight.shape[0]:
        raise LoraFileError(
            f"{stem}: found a change of shape {tuple(delta.shape)}, expected {tuple(weight.shape)};"
            " name the checkpoint that the DoRA is for"
        )
    changed = per_output_delta(plain, delta.reshape(weight.shape), parts[MAGNITUDE].double())
    bias = {"diff_b": _scaled(parts["diff_b"], factor)} if "diff_b" in parts else {}
    return {"diff": (factor * changed).float(), **bias}


def _dora(
    parts: Mapping[str, Tensor], delta: Tensor, factor: float, weight: Tensor
) -> dict[str, Tensor]:
    """A DoRA module whose effect on this weight is a factor of the original's; see the top."""
    weight = weight.double()
    delta = delta.double()
    magnitude = parts[MAGNITUDE].double()
    if delta.numel() != weight.numel():
        raise LoraFileError(
            f"found a change of shape {tuple(delta.shape)}, expected {tuple(weight.shape)}; name"
            " the checkpoint that the DoRA is for"
        )
    across = (1, weight.shape[1], *[1] * (weight.dim() - 2))
    if magnitude.numel() != weight.shape[1]:
        raise LoraFileError(
            f"found magnitudes of shape {tuple(magnitude.shape)}, expected {across}, one an input,"
            " as the WebUI reads them; train it with wd_on_output=False"
        )
    delta = delta.reshape(weight.shape)
    magnitude = magnitude.reshape(across)
    b = factor * magnitude / column_norms(weight + delta)
    a = 1 - factor + b
    if algorithm_of(parts) != "lora" or float(a.abs().min()) < MIN_DENOMINATOR:
        bias = {"diff_b": _scaled(parts["diff_b"], factor)} if "diff_b" in parts else {}
        return {"diff": (factor * dora_delta(weight, delta, magnitude)).float(), **bias}
    down = parts["lora_down.weight"]
    ratio = (b / a).reshape(1, -1, *[1] * (down.dim() - 2))
    changed = {**parts, "lora_down.weight": (down.double() * ratio).float()}
    return {**changed, MAGNITUDE: (a * column_norms(weight + delta * (b / a))).float()}
