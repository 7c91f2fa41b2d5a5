"""Optimizers by name: the library each one comes from, and what is particular about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where an optimizer comes from, and what is particular about it.

    pip: the package.
    options: what we set beyond the library's defaults, each with its reason.
    own_rate: it finds the rate itself, so that ours is a factor of it, around 1.
    one_rate: all its groups must share one rate.
    averages: it averages weights instead of following a schedule (schedule-free).
    clips: it limits its own steps, and clipped gradients mislead it.
    """

    module: str
    name: str
    pip: str
    options: dict[str, Any] = field(default_factory=dict)
    own_rate: bool = False
    one_rate: bool = False
    averages: bool = False
    clips: bool = False


# Moonlight's scale gives a step the size of AdamW's, so that the presets' rates mean the same; the
# library's own rate is 0.02 without it, and 1e-3 would train thirty times less.
AS_ADAMW = {"use_adjusted_lr": True}
SOURCES = {
    "AdamW": Source("torch.optim", "AdamW", "torch"),
    "AdamW8bit": Source("bitsandbytes.optim", "AdamW8bit", "bitsandbytes"),
    "Lion": Source("lion_pytorch", "Lion", "lion-pytorch"),
    "Prodigy": Source("prodigyopt", "Prodigy", "prodigyopt", own_rate=True, one_rate=True),
    "ProdigyPlusScheduleFree": Source(
        "prodigyplus",
        "ProdigyPlusScheduleFree",
        "prodigy-plus-schedule-free",
        own_rate=True,
        averages=True,
        clips=True,
    ),
    "DAdaptAdam": Source("dadaptation", "DAdaptAdam", "dadaptation", own_rate=True, one_rate=True),
    "Adafactor": Source("transformers.optimization", "Adafactor", "transformers"),
    "AdamWScheduleFree": Source("schedulefree", "AdamWScheduleFree", "schedulefree", averages=True),
    "CAME": Source("pytorch_optimizer", "CAME", "pytorch-optimizer"),
    "Muon": Source("pytorch_optimizer", "Muon", "pytorch-optimizer", AS_ADAMW),
}
