"""The memory budget: what a training would need, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..naming.block_weights import BlockWeights, parse_block_weights
from ..naming.blocks import BlockLayout
from ..settings.training import TrainingSettings
from ..training.memory_plan import Computer, MemoryPlan, plan_memory

# Sides of pictures that people train at, pixels
USUAL_SIDES = (512, 1024)


@dataclass(frozen=True)
class BudgetRow:
    """One way to train.

    family: its layout's name.
    side: of the square whose area the buckets have, pixels.
    fits: None where the memory is not known.
    """

    family: str
    side: int
    plan: MemoryPlan
    fits: bool | None

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
                rows.append(BudgetRow(layout.name, side, plan, fits))
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
    if plain.fits:
        return "it fits without gradient checkpointing"
    if not settings.auto_checkpointing:
        return "it does not fit, and training.auto_checkpointing is off"
    if lean.fits:
        return "gradient checkpointing will be switched on (training.auto_checkpointing)"
    return (
        "it does not fit even with gradient checkpointing: lower training.resolution or"
        " training.batch_size, or train fewer blocks (training.block_weights)"
    )
