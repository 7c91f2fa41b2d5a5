"""What a preset's rates and schedule mean to the optimizer that was chosen, where it differs from
the preset's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..naming.block_weights import BlockWeights
from .optimizer_arguments import parse_arguments
from .optimizer_table import SOURCES
from .schema import declaration, preset_values
from .training import TrainingSettings

RATES = ("unet_lr", "text_encoder_lr")
WHOLE = 1.0  # the rate of an optimizer that finds its own
LOWEST = 0.1  # of such rates: below it training comes to next to nothing


@dataclass(frozen=True)
class Fitted:
    """settings: those to train with.

    said: what was changed and what will count for nothing, a sentence each.
    """

    settings: TrainingSettings
    said: tuple[str, ...] = ()


def fitted(settings: TrainingSettings) -> Fitted:
    """The settings with the preset's values where the optimizer can use them.

    Only what still has the preset's value is changed, what a person set stays; fitted settings fit.
    Raises: SettingsError, for an unknown preset or broken arguments of the optimizer.
    """
    base = _preset(settings.preset)
    source, former = SOURCES[settings.optimizer], SOURCES[str(base["optimizer"])]
    arguments = parse_arguments(settings.optimizer_args)
    kept = {key: value for key, value in base.items() if getattr(settings, key) == value}
    changes: dict[str, Any] = {}
    said: list[str] = []
    if source.own_rate != former.own_rate:
        changes |= _rates(kept, source.own_rate)
        if changes:
            said.append(_rates_said(settings, changes, source.own_rate))
    if source.averages and arguments.get("use_schedulefree", True):
        if not former.averages and kept.get("scheduler", "constant") != "constant":
            changes["scheduler"] = "constant"
            said.append(
                f"{settings.optimizer} averages its weights instead of following a schedule: the"
                f" preset's {settings.scheduler} becomes constant"
            )
        elif settings.scheduler != "constant":
            said.append(
                f"{settings.optimizer} averages its weights instead of following a schedule; "
                f"training.scheduler={settings.scheduler} comes on top, constant is what it wants"
            )
    if source.clips and not former.clips and kept.get("max_grad_norm"):
        changes["max_grad_norm"] = 0.0
        said.append(
            f"{settings.optimizer} limits its own steps: gradients are not clipped"
            " (training.max_grad_norm=0)"
        )
    made = replace(settings, **changes)
    return Fitted(made, (*said, *_low_rates(made), *_adafactor(made, arguments)))


def unscaled(settings: TrainingSettings, weights: BlockWeights) -> list[str]:
    """A sentence when block weights between 0 and 1 are meant to scale a rate that cannot be
    scaled.
    """
    labels = [label for label in weights.layout.labels if weights[label] not in (0, 1)]
    if not labels or not SOURCES[settings.optimizer].one_rate:
        return []
    return [
        f"{settings.optimizer} takes one rate for all: block weights other than 0 count as 1"
        f" ({', '.join(labels)})"
    ]


def _preset(name: str) -> dict[str, Any]:
    """What the preset gives, by a training setting's key."""
    given = preset_values(name)
    keys = (*RATES, "optimizer", "scheduler", "max_grad_norm")
    found = {}
    for key in keys:
        declared = declaration(f"training.{key}")
        found[key] = declared.check(given.get(declared.name, declared.default))
    return found


def _rates(kept: dict[str, Any], own_rate: bool) -> dict[str, float]:
    """The rates that change: a 0, which trains nothing, stays 0."""
    return {
        key: WHOLE if own_rate else declaration(f"training.{key}").default
        for key in RATES
        if kept.get(key)
    }


def _rates_said(settings: TrainingSettings, changes: dict[str, Any], own_rate: bool) -> str:
    were = " and ".join(f"training.{key}={getattr(settings, key):g}" for key in changes)
    if own_rate:
        return (
            f"{settings.optimizer} finds the rate itself, and ours is a factor of it: the preset's"
            f" {were} becomes 1"
        )
    now = " and ".join(f"{value:g}" for value in changes.values())
    return (
        f"{settings.optimizer} takes a rate, the preset's {were} is a factor for another optimizer:"
        f" it becomes {now}"
    )


def _low_rates(settings: TrainingSettings) -> list[str]:
    source = SOURCES[settings.optimizer]
    if not source.own_rate:
        return []
    used = [key for key in RATES if getattr(settings, key)]
    found = []
    if source.one_rate and len(used) == 2:
        if settings.unet_lr != settings.text_encoder_lr:
            found.append(
                f"{settings.optimizer} takes one rate for all: the U-Net's {settings.unet_lr:g}"
                f" counts, training.text_encoder_lr={settings.text_encoder_lr:g} does not"
            )
        used = used[:1]
    found += [
        f"training.{key}={getattr(settings, key):g} is a factor of the rate that"
        f" {settings.optimizer} finds: below {LOWEST:g} it trains next to nothing; set it to 1"
        for key in used
        if getattr(settings, key) < LOWEST
    ]
    return found


def _adafactor(settings: TrainingSettings, arguments: dict[str, Any]) -> list[str]:
    if settings.optimizer != "Adafactor":
        return []
    if arguments.get("relative_step", True):
        return [
            "Adafactor chooses its own rate (relative_step, as its library has it):"
            " training.unet_lr, the schedule and the warm-up count for nothing; for a rate of yours"
            " set training.optimizer_args to 'relative_step=False; scale_parameter=False'"
        ]
    if arguments.get("scale_parameter", True):
        return [
            "Adafactor scales its rate by the size of the weights, which in a LoRA begin at 0: it"
            " trains next to nothing without scale_parameter=False in training.optimizer_args"
        ]
    return []
