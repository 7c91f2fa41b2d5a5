"""From samples to the tensors of a step: everything random comes from a sample's own number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..captions.text import compose_caption, join_tags, split_tags
from ..settings.training import TrainingSettings
from .epoch_plan import Picture, Sample
from .latents import LatentCache, Versions
from .losses import mask_weight
from .noise import multires_noise, offset_noise


def seeded(seed: int, *path: object) -> torch.Generator:
    """A generator that depends on the run's seed and its purpose only, not on earlier draws."""
    return torch.Generator().manual_seed(
        random.Random("/".join(map(str, (seed, *path)))).getrandbits(63)
    )


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
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    weights: Tensor
    mask: Tensor
    captions: list[str]
    prior: list[int]

    def on(self, device: str | torch.device) -> TrainingBatch:
        """The batch with its tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSORS})

    def clone(self) -> TrainingBatch:
        """The batch with tensors of its own."""
        return replace(self, **{name: getattr(self, name).clone() for name in TENSORS})


TENSORS = ("latents", "noise", "timesteps", "weights", "mask")  # of a TrainingBatch


class _Row(NamedTuple):
    latents: Tensor
    noise: Tensor
    timestep: Tensor
    weight: float
    mask: Tensor
    caption: str


def versions_of(settings: TrainingSettings) -> Versions:
    """What the latent cache must hold."""
    return Versions(settings.flip, settings.color_aug, settings.flip_symmetric)


def uses_prior_prediction(settings: TrainingSettings) -> bool:
    """True if samples of the character are also shown under the class's caption.

    Their target is the frozen model's own prediction.
    """
    return settings.regularization in ("prior prediction", "both")


def make_batch(
    settings: TrainingSettings, cache: LatentCache, samples: Sequence[Sample], length: int
) -> TrainingBatch:
    """The batch of some samples, the rows of prior prediction behind the others.

    length: timesteps of the noise schedule.
    """
    rows = [_row(settings, cache, sample, length) for sample in samples]
    prior = [
        row._replace(
            weight=settings.prior_loss_weight,
            mask=torch.ones_like(row.mask),
            caption=_without_trigger(row.caption, sample.picture),
        )
        for sample, row in zip(samples, rows, strict=True)
        if uses_prior_prediction(settings) and not sample.picture.regularization
    ]
    both = [*rows, *prior]
    return TrainingBatch(
        latents=torch.cat([row.latents for row in both]),
        noise=torch.cat([row.noise for row in both]),
        timesteps=torch.cat([row.timestep for row in both]),
        weights=torch.tensor([row.weight for row in both]),
        mask=torch.cat([row.mask for row in both]),
        captions=[row.caption for row in both],
        prior=list(range(len(rows), len(both))),
    )


def _row(settings: TrainingSettings, cache: LatentCache, sample: Sample, length: int) -> _Row:
    # The order of the draws is part of every seed's result: a resumed training must repeat it.
    picture = sample.picture
    generator = seeded(settings.seed, "sample", sample.number)
    chance = _caption_chance(settings, sample)
    version = versions_of(settings).of(picture).choose(chance)
    latents = cache.get(picture, version)
    noise = torch.randn(latents.shape, generator=generator)
    noise = offset_noise(noise, settings.noise_offset, generator)
    noise = multires_noise(
        noise, settings.multires_noise_iterations, settings.multires_noise_discount, generator
    )
    timestep = torch.randint(*_timestep_range(settings, picture, length), (1,), generator=generator)
    caption = _caption(settings, picture, chance)
    size = (latents.shape[-2], latents.shape[-1])
    mask = torch.ones(1, 1, *size)
    if settings.masked_loss and not picture.regularization:
        mask = mask_weight(cache.mask(picture, version.mirrored), size, settings.mask_floor)
    weight = settings.prior_loss_weight if picture.regularization else 1.0
    return _Row(latents, noise, timestep, weight, mask, caption)


def _timestep_range(settings: TrainingSettings, picture: Picture, length: int) -> tuple[int, int]:
    """(first, end) of the timesteps that a picture is trained at."""
    first, end = picture.timesteps or (0, length)
    end = min(settings.max_timestep, end, length)
    return min(max(settings.min_timestep, first), end - 1), end


def captions_of(
    settings: TrainingSettings, samples: Sequence[Sample]
) -> tuple[list[str], list[str]]:
    """The captions that `make_batch` gives these samples: all of them, and the prior rows' alone.

    Nothing else is drawn, so that an epoch's captions can be encoded ahead.
    """
    captions = []
    prior = []
    for sample in samples:
        chance = _caption_chance(settings, sample)
        versions_of(settings).of(sample.picture).choose(chance)  # is drawn before the caption
        captions.append(_caption(settings, sample.picture, chance))
        if uses_prior_prediction(settings) and not sample.picture.regularization:
            prior.append(_without_trigger(captions[-1], sample.picture))
    return [*captions, *prior], prior


def _caption_chance(settings: TrainingSettings, sample: Sample) -> random.Random:
    """For the version of the picture, then its caption."""
    return random.Random(f"{settings.seed}/caption/{sample.number}")


def _caption(settings: TrainingSettings, picture: Picture, chance: random.Random) -> str:
    return compose_caption(
        picture.caption,
        chance,
        shuffle=settings.shuffle_captions,
        keep_tokens=settings.keep_tokens,
        caption_dropout=settings.caption_dropout,
        tag_dropout=settings.tag_dropout,
    )


def _without_trigger(caption: str, picture: Picture) -> str:
    return join_tags(tag for tag in split_tags(caption) if tag != picture.trigger)
