"""Optimizers by name: their libraries, and their peculiarities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """An optimizer's class and peculiarities.

    module, name: the class.
    pip: the package.
    options: arguments other than the library's defaults.
    own_rate: it finds the learning rate itself; ours is a factor around 1.
    one_rate: all parameter groups must share one learning rate.
    averages: schedule-free, it averages weights instead of following a schedule.
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


# Moonlight's scale gives steps of AdamW's size, so that the presets' rates fit; without it the
# library's default rate is 0.02, and 1e-3 would train thirty times less.
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
