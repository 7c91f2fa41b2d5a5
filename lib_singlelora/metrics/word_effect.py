"""What a checkpoint makes of a word: how far its prediction with the word alone departs from that
of the empty prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from ..host import Conditioning, TrainingModel
from ..jobs import Job, Progress

TIMES = (0.9, 0.6)  # shares of the noise schedule at which a prompt decides what is drawn
SEEDS = 1
# Ordinary words must move a model by so much more than words without meaning, or it tells nothing
CLEAR = 1.2


@dataclass(frozen=True)
class WordEffects:
    """Mean ‖ε(word) − ε(∅)‖ / ‖ε(∅)‖ by word; all words have as many tokens as the trigger, for it
    grows with them.
    """

    trigger: float
    ordinary: Mapping[str, float]
    meaningless: Mapping[str, float]

    @property
    def meaning(self) -> float | None:
        """0: the trigger moves the model as one without meaning does; 1: as an ordinary word does;
        None when those are alike.
        """
        low, high = median(self.meaningless.values()), median(self.ordinary.values())
        return (self.trigger - low) / (high - low) if high > CLEAR * low else None


def measure_word_effects(
    model: TrainingModel,
    words: Sequence[str],
    size: tuple[int, int],
    clip_skip: int,
    job: Job,
    stage: str = "trigger",
) -> dict[str, float]:
    """By word, how far the prediction departs from that of the empty prompt, of its length.

    size: (height, width) of the latents.  The same noise for every word; the noise alone is
        predicted from, at several times.
    """
    found = dict.fromkeys(words, 0.0)
    alphas = model.alphas_cumprod.float().cpu()
    steps = [round(share * (len(alphas) - 1)) for share in TIMES]
    noise = torch.randn((SEEDS, 4, *size), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        empty = model.encode_prompts([""], clip_skip)
        for index, step in enumerate(steps):
            noisy = (noise * (1 - alphas[step]).sqrt()).to(model.device)
            times = torch.full((SEEDS,), step, device=model.device)
            base = model.predict(noisy, times, repeated(empty, SEEDS)).float()
            for number, word in enumerate(words):
                job.raise_if_cancelled()
                own = model.predict(
                    noisy, times, repeated(model.encode_prompts([word], clip_skip), SEEDS)
                ).float()
                found[word] += float((own - base).norm() / base.norm().clamp_min(1e-12)) / len(
                    steps
                )
                job.report(
                    Progress(
                        stage,
                        index * len(words) + number + 1,
                        len(steps) * len(words),
                        f"what '{word}' changes",
                    )
                )
    return found


def repeated(conditioning: Conditioning, count: int) -> Conditioning:
    """The conditioning of one prompt for a batch of pictures."""
    vector = conditioning.vector
    return Conditioning(
        conditioning.context.expand(count, -1, -1),
        None if vector is None else vector.expand(count, -1),
    )
