"""The memory budget: what a training would need, told before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..families.family import UNET, Family, TextEncoder
from ..files.weights import UnreadableWeights, read_header
from ..host import CheckpointInfo
from ..naming.block_weights import BlockWeights, parse_block_weights
from ..naming.blocks import BlockLayout
from ..settings.training import TrainingSettings
from ..training.memory_fit import wants_checkpointing
from ..training.memory_plan import Computer, MemoryPlan, plan_memory

# Sides of pictures that people train at, pixels
USUAL_SIDES = (512, 1024)


@dataclass(frozen=True)
class BudgetRow:
    """One way to train.

    family: its layout's name.
    side: of the square whose area the buckets have, pixels.
    fits: None where the memory is not known.
    wants_checkpointing: a training without it would have it switched on.
    """

    family: str
    side: int
    plan: MemoryPlan
    fits: bool | None
    wants_checkpointing: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON; bytes."""
        step = {name: round(value) for name, value in asdict(self.plan.step).items()}
        return {
            "family": self.family,
            "resolution": self.side,
            "gradient_checkpointing": self.plan.checkpointing,
            "peak": round(self.plan.step.total),
            "caching": round(self.plan.caching),
            **step,
            "fits": self.fits,
        }


def layout_of(checkpoint: CheckpointInfo) -> BlockLayout:
    """The layout of a checkpoint, narrower than its family's where its file is.

    Read from the header of its file; a pickle counts as full size.
    """
    try:
        shapes = read_header(checkpoint.path).shapes
    except (OSError, UnreadableWeights):
        return checkpoint.family.layout
    return narrowed(checkpoint.family, shapes)


def narrowed(family: Family, shapes: Mapping[str, tuple[int, ...]]) -> BlockLayout:
    """The family's layout with the widths and depths of a checkpoint's tensors."""
    layout = family.layout
    first_conv = shapes.get(f"{UNET}input_blocks.0.0.weight")
    if not first_conv:
        return layout
    channels = first_conv[0]
    firsts = [1 + 3 * level for level in range(len(layout.multipliers))]
    widths = [
        shapes.get(f"{UNET}input_blocks.{first}.0.in_layers.2.weight", (multiplier * channels,))[0]
        for first, multiplier in zip(firsts, layout.multipliers, strict=True)
    ]
    contexts = [
        shape[1]
        for key, shape in shapes.items()
        if key.startswith(UNET) and key.endswith(".attn2.to_k.weight") and len(shape) == 2
    ]
    vector = shapes.get(f"{UNET}label_emb.0.0.weight", (0, layout.vector))[1]
    return replace(
        layout,
        channels=channels,
        vector=vector,
        multipliers=tuple(max(1, width // channels) for width in widths),
        depths=tuple(_depth(shapes, f"{UNET}input_blocks.{first}.1.") for first in firsts),
        middle_depth=_depth(shapes, f"{UNET}middle_block.1."),
        context=contexts[0] if contexts else layout.context,
        text=tuple(_text(encoder, shapes) for encoder in family.text_encoders),
    )


def _depth(shapes: Mapping[str, tuple[int, ...]], transformer: str) -> int:
    """Transformer blocks under a prefix."""
    pattern = re.compile(re.escape(transformer) + r"transformer_blocks\.(\d+)\.")
    return len({match[1] for key in shapes if (match := pattern.match(key))})


def _text(encoder: TextEncoder, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, str, int, int]:
    """The encoder's entry in the layout, with the layers and the width that the tensors have."""
    prefix, kohya, layers, width = encoder.names
    pattern = re.compile(re.escape(encoder.keys) + r".*?(?:layers|resblocks)\.(\d+)\.")
    found = {match[1] for key in shapes if (match := pattern.match(key))}
    widths = [
        shape[-1]
        for key, shape in shapes.items()
        if key.startswith(encoder.keys) and key.endswith("token_embedding.weight")
    ]
    return prefix, kohya, len(found) or layers, widths[0] if widths else width


def budget_rows(
    layouts: Sequence[BlockLayout],
    sides: Sequence[int],
    settings: TrainingSettings,
    computer: Computer,
    presets: Mapping[str, str] | None = None,
) -> list[BudgetRow]:
    """Every layout at every side, without gradient checkpointing and with it.

    presets: of block weights, by name.
    Raises: PresetError, for block weights that a layout does not have.
    """
    rows = []
    for layout in layouts:
        weights = _weights(settings, layout, presets)
        for side in sides:
            for checkpointing in (False, True):
                plan = plan_memory(
                    layout,
                    settings,
                    weights.as_dict(),
                    (side, side),
                    computer,
                    checkpointing=checkpointing,
                )
                fits = computer.holds(plan.step.total) if computer.bytes else None
                wants = not checkpointing and wants_checkpointing(layout, plan, computer)
                rows.append(BudgetRow(layout.name, side, plan, fits, wants))
    return rows


def _weights(
    settings: TrainingSettings, layout: BlockLayout, presets: Mapping[str, str] | None
) -> BlockWeights:
    if presets is None:
        return parse_block_weights(settings.block_weights, layout)
    return parse_block_weights(settings.block_weights, layout, presets)


def advice(rows: Sequence[BudgetRow], settings: TrainingSettings, computer: Computer) -> str:
    """What a training with these settings will do; rows: of one layout and side."""
    plain, lean = rows
    if settings.gradient_checkpointing:
        return "gradient checkpointing is on (training.gradient_checkpointing)"
    if not computer.bytes:
        return f"the memory of {computer.name} is not known; nothing is switched on"
    if plain.fits and not plain.wants_checkpointing:
        return "it fits without gradient checkpointing"
    if not settings.auto_checkpointing:
        fits = "fits" if plain.fits else "does not fit"
        return f"it {fits}, and training.auto_checkpointing is off"
    if lean.fits:
        return "gradient checkpointing will be switched on (training.auto_checkpointing)"
    return (
        "it does not fit even with gradient checkpointing: lower training.resolution or"
        " training.batch_size, or train fewer blocks (training.block_weights)"
    )
