"""How far a word alone moves a checkpoint's prediction away from that of the empty prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from ..host import Conditioning, TrainingModel
from ..jobs import Job, Progress

TIMES = (0.9, 0.6)  # shares of the noise schedule at which a prompt decides what is drawn
BATCH = 1  # latents that are predicted from
# Ordinary words must move a model by so much more than meaningless ones, or nothing can be told
CLEAR = 1.2


@dataclass(frozen=True)
class WordEffects:
    """Mean ‖ε(word) − ε(∅)‖ / ‖ε(∅)‖ of three kinds of words.

    All words have as many tokens as the trigger, for the effect grows with their number.

    trigger: of the trigger.
    ordinary: of ordinary words, by word.
    meaningless: of words without meaning, by word.
    """

    trigger: float
    ordinary: Mapping[str, float]
    meaningless: Mapping[str, float]

    @property
    def meaning(self) -> float | None:
        """0 where the trigger acts as a meaningless word does, 1 where as an ordinary one.

        None where ordinary and meaningless words act alike.
        """
        low = median(self.meaningless.values())
        high = median(self.ordinary.values())
        return (self.trigger - low) / (high - low) if high > CLEAR * low else None


def measure_word_effects(
    model: TrainingModel,
    words: Sequence[str],
    size: tuple[int, int],
    clip_skip: int,
    job: Job,
    stage: str = "trigger",
) -> dict[str, float]:
    """By word, the distance of its prediction from the empty prompt's, relative to the latter.

    Every word gets the same noise, which is all that is predicted from, at several timesteps.

    size: (height, width) of the latents.
    """
    effects = dict.fromkeys(words, 0.0)
    alphas_cumprod = model.alphas_cumprod.float().cpu()
    timesteps = [round(share * (len(alphas_cumprod) - 1)) for share in TIMES]
    noise = torch.randn((BATCH, 4, *size), generator=torch.Generator().manual_seed(1))
    total = len(timesteps) * len(words)
    with torch.no_grad():
        empty = _expanded(model.encode_prompts([""], clip_skip), BATCH)
        for index, timestep in enumerate(timesteps):
            noisy = (noise * (1 - alphas_cumprod[timestep]).sqrt()).to(model.device)
            times = torch.full((BATCH,), timestep, device=model.device)
            base = model.predict(noisy, times, empty).float()
            for number, word in enumerate(words):
                job.raise_if_cancelled()
                conditioning = _expanded(model.encode_prompts([word], clip_skip), BATCH)
                prediction = model.predict(noisy, times, conditioning).float()
                distance = float((prediction - base).norm() / base.norm().clamp_min(1e-12))
                effects[word] += distance / len(timesteps)
                done = index * len(words) + number + 1
                job.report(Progress(stage, done, total, f"what '{word}' changes"))
    return effects


def _expanded(conditioning: Conditioning, count: int) -> Conditioning:
    """The conditioning of one prompt for a batch of pictures."""
    return conditioning.mapped(lambda value: value.expand(count, *value.shape[1:]))
