"""From samples to the tensors of a step: everything random comes from a sample's own number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..captions.text import compose_caption
from ..captions.trigger_text import has_trigger, spelling_of, with_class, without_triggers
from ..ops.transfer import sent
from ..settings.training import TrainingSettings
from .augment import backdrop_caption
from .epoch_plan import Picture, Sample
from .latents import LatentCache, Version, Versions
from .losses import mask_weight
from .noise import multires_noise, offset_noise
from .size_conditioning import Sizes, size_numbers


def seeded(seed: int, *path: object) -> torch.Generator:
    """A generator that depends on the run's seed and its purpose only, not on earlier draws."""
    return torch.Generator().manual_seed(
        random.Random("/".join(map(str, (seed, *path)))).getrandbits(63)
    )


@dataclass(frozen=True)
class Attended:
    """Where the triggers' words of a batch should be attended to.

    triggers: B of them; "" for a row without one, or whose picture has no mask.
    masks: (B, 1, h, w), where the character is, 0 to 1, on the CPU.
    """

    triggers: list[str]
    masks: Tensor


@dataclass(frozen=True)
class TrainingBatch:
    """The tensors of a batch, noise not yet added.

    latents: (B, 4, h, w), VAE-scaled.
    noise: (B, 4, h, w).
    timesteps: (B,), int64.
    weights: (B,), of the samples' losses.
    mask: (B, 1, h, w), weight of each latent, 0 to 1.
    captions: B of them.
    prior: rows whose target is the frozen model's own prediction.
    sizes: (B, 6), as in Conditioning.
    compared: rows of the character for which a loss term needs the frozen model's prediction too.
    attended: where the triggers should be attended to; None where no loss asks.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    weights: Tensor
    mask: Tensor
    captions: list[str]
    prior: list[int]
    sizes: Tensor
    compared: list[int] = field(default_factory=list)
    attended: Attended | None = None

    @property
    def frozen_rows(self) -> list[int]:
        """The rows that the frozen model predicts too, each under its own caption."""
        return [*self.compared, *self.prior]

    def on(self, device: str | torch.device) -> TrainingBatch:
        """The batch with its tensors on a device."""
        moved: dict[str, Any] = {name: sent(getattr(self, name), device) for name in TENSORS}
        return replace(self, **moved)

    def clone(self) -> TrainingBatch:
        """The batch with tensors of its own."""
        return replace(self, **{name: getattr(self, name).clone() for name in TENSORS})


TENSORS = ("latents", "noise", "timesteps", "weights", "mask", "sizes")  # of a TrainingBatch


class _Row(NamedTuple):
    latents: Tensor
    noise: Tensor
    timestep: Tensor
    weight: float
    mask: Tensor
    caption: str
    sizes: Sizes
    trigger: str = ""
    character: Tensor | None = None


def versions_of(settings: TrainingSettings) -> Versions:
    """What the latent cache must hold."""
    return Versions(
        settings.flip, settings.color_aug, settings.flip_symmetric, settings.background_aug
    )


def uses_prior_prediction(settings: TrainingSettings) -> bool:
    """True if samples of the character are also shown under the class's caption.

    Their target is the frozen model's own prediction.
    """
    return settings.regularization in ("prior prediction", "both")


def prior_rows_per_sample(settings: TrainingSettings) -> int:
    """How often a sample of the character is shown again with the frozen model's target."""
    return int(uses_prior_prediction(settings)) + int(settings.dop_weight > 0)


def _class_rows(settings: TrainingSettings, samples: Sequence[Sample]) -> list[int]:
    """The rows of class pictures whose target is the frozen model's own prediction.

    Source: OneTrainer's concepts of the type Prior Prediction.
    """
    if not settings.class_prediction:
        return []
    return [index for index, sample in enumerate(samples) if sample.picture.regularization]


def compares(settings: TrainingSettings) -> bool:
    """True if a loss term needs the frozen model's prediction for the character's own rows."""
    return settings.masked_prior_weight > 0 or settings.dco_beta > 0 or settings.apt > 0


def uses_frozen_model(settings: TrainingSettings) -> bool:
    """True if there are steps that run the frozen model beside the trained one."""
    asked = settings.class_prediction or prior_rows_per_sample(settings) > 0
    return compares(settings) or asked


def prior_acts(settings: TrainingSettings, step: int, steps: int) -> bool:
    """True if the prior rows have begun.

    step: 0-based.
    steps: of the whole training.
    """
    return step >= settings.prior_start * steps


def make_batch(
    settings: TrainingSettings,
    cache: LatentCache,
    samples: Sequence[Sample],
    length: int,
    prior: bool = True,
) -> TrainingBatch:
    """The batch of some samples, the prior rows behind the others.

    length: timesteps of the noise schedule.
    prior: False for a step before the prior rows begin.
    """
    rows = [_row(settings, cache, sample, length) for sample in samples]
    captions = [row.caption for row in rows]
    shown = _prior_captions(settings, samples, captions, [int(row.timestep) for row in rows], prior)
    both = [*rows]
    for index, caption, weight in shown:
        mask = torch.ones_like(rows[index].mask)
        both.append(rows[index]._replace(weight=weight, mask=mask, caption=caption))
    character = [n for n, sample in enumerate(samples) if not sample.picture.regularization]
    weights = torch.tensor([row.weight for row in both])
    # The loss is the mean over the rows.  Prior prediction has always counted among them; what is
    # added to that, or left out for now, must not change what the character's own samples weigh.
    nominal = len(rows) + len(character) * uses_prior_prediction(settings)
    if len(both) != nominal:
        weights = weights * (len(both) / nominal)
    return TrainingBatch(
        latents=torch.cat([row.latents for row in both]),
        noise=torch.cat([row.noise for row in both]),
        timesteps=torch.cat([row.timestep for row in both]),
        weights=weights,
        mask=torch.cat([row.mask for row in both]),
        captions=[row.caption for row in both],
        prior=[*_class_rows(settings, samples), *range(len(rows), len(both))],
        sizes=torch.tensor([row.sizes for row in both]),
        compared=character if compares(settings) else [],
        attended=_attended(rows, len(both)) if settings.attention_loss else None,
    )


def _attended(rows: Sequence[_Row], count: int) -> Attended:
    """Where the rows' triggers should be attended to; none in the prior rows behind them.

    count: of all rows.
    """
    nowhere = torch.zeros_like(rows[0].mask)
    masks = [nowhere if row.character is None else row.character for row in rows]
    further = count - len(rows)
    triggers = [*(row.trigger for row in rows), *[""] * further]
    return Attended(triggers, torch.cat([*masks, *[nowhere] * further]))


def _prior_captions(
    settings: TrainingSettings,
    samples: Sequence[Sample],
    captions: Sequence[str],
    timesteps: Sequence[int],
    prior: bool,
) -> list[tuple[int, str, float]]:
    """(index of the sample, caption, weight) of the prior rows.

    Prior prediction takes the trigger out of the caption; differential output preservation puts the
    class in its place, as ostris/ai-toolkit does, and leaves out captions without a trigger: under
    the same caption it would hold back the character itself.
    captions, timesteps: of the samples.
    """
    again = [
        (index, sample.picture)
        for index, sample in enumerate(samples)
        if prior
        and not sample.picture.regularization
        and timesteps[index] >= settings.prior_min_timestep
    ]
    shown = []
    if uses_prior_prediction(settings):
        shown += [
            (index, _without_trigger(captions[index], picture), settings.prior_loss_weight)
            for index, picture in again
        ]
    if settings.dop_weight:
        shown += [
            (index, _with_class(captions[index], picture), settings.dop_weight)
            for index, picture in again
            if has_trigger(captions[index], picture.trigger)
        ]
    return shown


def _row(settings: TrainingSettings, cache: LatentCache, sample: Sample, length: int) -> _Row:
    # The order of the draws is part of every seed's result: a resumed training must repeat it.
    picture = sample.picture
    chance = _caption_chance(settings, sample)
    version = versions_of(settings).of(picture).choose(chance)
    latents = cache.get(picture, version)
    noise, timestep = _noise(settings, sample, latents.shape, length)
    caption = _caption(settings, sample, version, chance)
    size = (latents.shape[-2], latents.shape[-1])
    mask = torch.ones(1, 1, *size)
    if settings.uses_masks and not picture.regularization:
        floor = settings.mask_floor if settings.masked_loss else 0.0
        mask = mask_weight(cache.mask(picture, version.mirrored), size, floor)
    weight = settings.prior_loss_weight if picture.regularization else 1.0
    sizes = size_numbers(settings.size_conditioning, picture, version.mirrored)
    row = _Row(latents, noise, timestep, weight, mask, caption, sizes)
    spelling = spelling_of(caption, picture.trigger)
    if settings.attention_loss and picture.mask and spelling:
        character = mask_weight(cache.mask(picture, version.mirrored), size, 0.0)
        if bool(character.any()):
            return row._replace(trigger=spelling, character=character)
    return row


def _noise(
    settings: TrainingSettings, sample: Sample, shape: Sequence[int], length: int
) -> tuple[Tensor, Tensor]:
    """Noise of the latents' shape and the timestep, (1,), of a sample.

    length: timesteps of the noise schedule.
    """
    generator = seeded(settings.seed, "sample", sample.number)
    noise = torch.randn(tuple(shape), generator=generator)
    noise = offset_noise(noise, settings.noise_offset, generator)
    noise = multires_noise(
        noise, settings.multires_noise_iterations, settings.multires_noise_discount, generator
    )
    timesteps = _timestep_range(settings, sample.picture, length)
    return noise, torch.randint(*timesteps, (1,), generator=generator)


def _timestep_range(settings: TrainingSettings, picture: Picture, length: int) -> tuple[int, int]:
    """(first, end) of the timesteps that a picture is trained at."""
    first, end = picture.timesteps or (0, length)
    end = min(settings.max_timestep, end, length)
    return min(max(settings.min_timestep, first), end - 1), end


def captions_of(
    settings: TrainingSettings, samples: Sequence[Sample], length: int, prior: bool = True
) -> tuple[list[str], list[str]]:
    """The captions that `make_batch` gives these samples: all of them, and the frozen rows' alone.

    Nothing that the captions do not depend on is drawn, so that an epoch's can be encoded ahead.
    length, prior: as of `make_batch`.
    """
    captions = []
    for sample in samples:
        chance = _caption_chance(settings, sample)
        version = versions_of(settings).of(sample.picture).choose(chance)  # before the caption
        captions.append(_caption(settings, sample, version, chance))
    timesteps = [settings.prior_min_timestep] * len(samples)
    if settings.prior_min_timestep:
        timesteps = [_timestep(settings, sample, length) for sample in samples]
    shown = [
        caption for _, caption, _ in _prior_captions(settings, samples, captions, timesteps, prior)
    ]
    compared = [
        caption
        for caption, sample in zip(captions, samples, strict=True)
        if compares(settings) and not sample.picture.regularization
    ]
    preserved = [captions[index] for index in _class_rows(settings, samples)]
    return [*captions, *shown], [*compared, *preserved, *shown]


def _timestep(settings: TrainingSettings, sample: Sample, length: int) -> int:
    # It is drawn after the noise, whose shape is that of the latents.
    width, height = sample.picture.bucket
    return int(_noise(settings, sample, (1, 4, height // 8, width // 8), length)[1])


def _caption_chance(settings: TrainingSettings, sample: Sample) -> random.Random:
    """For the version of the picture, then its caption."""
    return random.Random(f"{settings.seed}/caption/{sample.number}")


def _caption(
    settings: TrainingSettings, sample: Sample, version: Version, chance: random.Random
) -> str:
    caption = sample.caption
    if version.backdrop:
        caption = backdrop_caption(caption, version.backdrop)
    return compose_caption(
        caption,
        chance,
        shuffle=settings.shuffle_captions,
        keep_tokens=settings.keep_tokens,
        caption_dropout=settings.caption_dropout,
        tag_dropout=settings.tag_dropout,
    )


def _without_trigger(caption: str, picture: Picture) -> str:
    triggers = (picture.trigger, picture.outfit_trigger)
    return without_triggers(caption, triggers, picture.class_token)


def _with_class(caption: str, picture: Picture) -> str:
    if picture.outfit_trigger:
        caption = without_triggers(caption, (picture.outfit_trigger,))
    return with_class(caption, picture.trigger, picture.class_token)
