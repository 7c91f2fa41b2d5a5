"""From samples to the tensors of a step: everything random comes from a sample's own number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
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
    """A generator that depends on the run's seed and on what it is for, and on nothing that came
    before.
    """
    return torch.Generator().manual_seed(
        random.Random("/".join(map(str, (seed, *path)))).getrandbits(63)
    )


@dataclass(frozen=True)
class TrainingBatch:
    """A batch.  latents, noise: (B, 4, h, w); timesteps, weights: (B,); mask: (B, 1, h, w).

    prior: rows whose wanted answer is the frozen model's own.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    weights: Tensor
    mask: Tensor
    captions: list[str]
    prior: list[int]


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


def wants_prior(settings: TrainingSettings) -> bool:
    """Whether samples of her are also shown as one of her class, with the frozen model's answer as
    the wanted one.
    """
    return settings.regularization in ("prior prediction", "both")


def make_batch(
    settings: TrainingSettings, cache: LatentCache, batch: Sequence[Sample], length: int
) -> TrainingBatch:
    """The batch of some samples; length: timesteps of the schedule."""
    rows: list[_Row] = []
    classes: list[_Row] = []
    for sample in batch:
        picture = sample.picture
        generator = seeded(settings.seed, "sample", sample.number)
        chance = random.Random(f"{settings.seed}/caption/{sample.number}")
        version = versions_of(settings).of(picture).make_batch(chance)
        latents = cache.get(picture, version)
        noise = offset_noise(
            torch.randn(latents.shape, generator=generator), settings.noise_offset, generator
        )
        noise = multires_noise(
            noise, settings.multires_noise_iterations, settings.multires_noise_discount, generator
        )
        last = min(settings.max_timestep, length)
        timestep = torch.randint(
            min(settings.min_timestep, last - 1), last, (1,), generator=generator
        )
        caption = _caption(settings, picture, chance)
        size = (latents.shape[-2], latents.shape[-1])
        mask = torch.ones(1, 1, *size)
        if settings.masked_loss and not picture.regularization:
            mask = mask_weight(cache.mask(picture, version.mirrored), size, settings.mask_floor)
        weight = settings.prior_loss_weight if picture.regularization else 1.0
        rows.append(_Row(latents, noise, timestep, weight, mask, caption))
        if wants_prior(settings) and not picture.regularization:
            plain = _without_trigger(caption, picture)
            classes.append(
                _Row(
                    latents,
                    noise,
                    timestep,
                    settings.prior_loss_weight,
                    torch.ones_like(mask),
                    plain,
                )
            )
    whole = [*rows, *classes]
    latents, noise, masks = (
        torch.cat([getattr(row, name) for row in whole]) for name in ("latents", "noise", "mask")
    )
    timesteps, weights = (
        torch.cat([row.timestep for row in whole]),
        torch.tensor([row.weight for row in whole]),
    )
    return TrainingBatch(
        latents,
        noise,
        timesteps,
        weights,
        masks,
        [row.caption for row in whole],
        list(range(len(rows), len(whole))),
    )


def captions_of(settings: TrainingSettings, batch: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """The captions of a batch as `make_batch` gives them, whole and those of the prior rows, without
    drawing anything else.
    """
    own, classes = [], []
    for sample in batch:
        chance = random.Random(f"{settings.seed}/caption/{sample.number}")
        versions_of(settings).of(sample.picture).make_batch(chance)  # comes before the caption
        own.append(_caption(settings, sample.picture, chance))
        if wants_prior(settings) and not sample.picture.regularization:
            classes.append(_without_trigger(own[-1], sample.picture))
    return [*own, *classes], classes


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
