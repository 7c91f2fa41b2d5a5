"""One part of the source, examined."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ..metrics.part_likeness import Mean, mean_of
from .inpaint_canvas import Canvas


@dataclass(frozen=True)
class PartMark:
    """One part, examined.

    lora, alone: likeness to the source of each seed's picture, with the LoRA and without.
    pictures: those with the LoRA, then those without.
    """

    name: str
    prompt: str
    canvas: Canvas = field(repr=False)
    lora: tuple[float, ...] = ()
    alone: tuple[float, ...] = ()
    pictures: tuple[list[Image.Image], list[Image.Image]] = field(default=([], []), repr=False)

    @property
    def gain(self) -> Mean:
        """By how much the LoRA is nearer, seed by seed."""
        return mean_of([a - b for a, b in zip(self.lora, self.alone, strict=True)])

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "part": self.name,
            "prompt": self.prompt,
            "box": list(self.canvas.shown),
            "lora": [round(value, 4) for value in self.lora],
            "alone": [round(value, 4) for value in self.alone],
            "lora_mean": plain_mean(mean_of(self.lora)),
            "alone_mean": plain_mean(mean_of(self.alone)),
            "gain": plain_mean(self.gain),
            "nearer": self.gain.value > 0,
        }


def plain_mean(mean: Mean) -> dict[str, float | None]:
    """The mean and its margin as plain values."""
    margin = None if mean.margin is None else round(mean.margin, 4)
    return {"mean": round(mean.value, 4), "margin": margin}
