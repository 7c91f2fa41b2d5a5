"""A preset's rates and schedule, fitted to an optimizer that is not the preset's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..naming.block_weights import BlockWeights
from .optimizer_arguments import parse_arguments
from .optimizer_table import SOURCES
from .schema import declaration, preset_values
from .training import TrainingSettings

RATES = ("unet_lr", "text_encoder_lr", "text_encoder_2_lr")
OWN_RATE = 1.0  # the factor for optimizers that find their rate themselves
LOWEST_FACTOR = 0.1  # below it they train next to nothing


@dataclass(frozen=True)
class Fitted:
    """Settings to train with.

    said: a sentence for each change, and for each setting without effect.
    """

    settings: TrainingSettings
    said: tuple[str, ...] = ()


def fitted(settings: TrainingSettings) -> Fitted:
    """The settings, with the preset's values replaced where the optimizer cannot use them.

    Values that the user set stay.  Fitting fitted settings changes nothing.
    Raises: SettingsError, for an unknown preset or broken arguments of the optimizer.
    """
    base = _preset(settings.preset)
    source = SOURCES[settings.optimizer]
    former = SOURCES[str(base["optimizer"])]
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
    changed = replace(settings, **changes)
    said += _low_rates(changed)
    said += _adafactor(changed, arguments)
    return Fitted(changed, tuple(said))


def unscaled(settings: TrainingSettings, weights: BlockWeights) -> list[str]:
    """A sentence if block weights other than 0 and 1 cannot scale the optimizer's rate."""
    labels = [label for label in weights.layout.labels if weights[label] not in (0, 1)]
    if not labels or not SOURCES[settings.optimizer].one_rate:
        return []
    return [
        f"{settings.optimizer} takes one rate for all: block weights other than 0 count as 1"
        f" ({', '.join(labels)})"
    ]


def _preset(name: str) -> dict[str, Any]:
    """The preset's values that depend on the optimizer, by key in the training section."""
    preset = preset_values(name)
    values = {}
    for key in (*RATES, "optimizer", "scheduler", "max_grad_norm"):
        declared = declaration(f"training.{key}")
        values[key] = declared.check(preset.get(declared.name, declared.default))
    return values


def _rates(kept: dict[str, Any], own_rate: bool) -> dict[str, float]:
    """The rates that change; 0, which trains nothing, stays 0, and -1, which takes another's."""
    return {
        key: OWN_RATE if own_rate else declaration(f"training.{key}").default
        for key in RATES
        if kept.get(key, 0) > 0
    }


def _rates_said(settings: TrainingSettings, changes: dict[str, Any], own_rate: bool) -> str:
    were = " and ".join(f"training.{key}={getattr(settings, key):g}" for key in changes)
    if own_rate:
        return (
            f"{settings.optimizer} finds the learning rate itself and multiplies it by ours: the"
            f" preset's {were} becomes 1"
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
    used = [key for key in RATES if getattr(settings, key) > 0]
    sentences = []
    if source.one_rate and settings.unet_lr and len(used) > 1:
        sentences += [
            f"{settings.optimizer} takes one rate for all: the U-Net's {settings.unet_lr:g}"
            f" counts, training.{key}={getattr(settings, key):g} does not"
            for key in used[1:]
            if getattr(settings, key) != settings.unet_lr
        ]
        used = used[:1]
    sentences += [
        f"training.{key}={getattr(settings, key):g} is a factor of the rate that"
        f" {settings.optimizer} finds: below"
        f" {LOWEST_FACTOR:g} it trains next to nothing; set it to 1"
        for key in used
        if getattr(settings, key) < LOWEST_FACTOR
    ]
    return sentences


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
