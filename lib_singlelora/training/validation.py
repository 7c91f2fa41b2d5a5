"""A validation loss that can be compared: the same noise at the same timesteps every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..host import Conditioning
from .batch import seeded
from .epoch_plan import Picture
from .latents import LatentCache, Versions
from .noise import add_noise, target
from .objective import Objective
from .size_conditioning import size_numbers

BANDS = 4  # as in sd-scripts: 200, 400, 600 and 800 of 1000 timesteps
NOISES = 2  # for each picture and band


@dataclass(frozen=True)
class ValidationResult:
    """A validation's losses.

    loss: the mean of the bands.
    bands: timestep -> mean squared error there.
    """

    loss: float
    bands: Mapping[int, float]

    def __str__(self) -> str:
        parts = ", ".join(f"t{timestep} {loss:.4f}" for timestep, loss in self.bands.items())
        return f"validation loss {self.loss:.4f} ({parts})"

    def figures(self) -> dict[str, float]:
        """For the page, the log and TensorBoard."""
        return {
            "loss": self.loss,
            **{f"t{timestep}": loss for timestep, loss in self.bands.items()},
        }


class Validation:
    """The mean squared error of the prediction on pictures, without weights, masks and dropouts.

    Everything random comes from the seed and the picture's index, so that a value depends on the
    network alone: the same weights give the same loss, before a resume and after it.
    """

    def __init__(
        self, objective: Objective, pictures: Sequence[Picture], latents: LatentCache
    ) -> None:
        self._objective = objective
        self._pictures = pictures
        self._latents = latents
        settings = objective.settings
        last = min(settings.max_timestep, len(objective.alphas_cumprod))
        self.timesteps = bands(min(settings.min_timestep, last - 1), last)

    def fill(self, on_progress: Callable[[int, int], None]) -> None:
        """Encode the pictures, neither mirrored nor recoloured.

        on_progress: as of `LatentCache.fill`.
        """
        self._latents.fill(self._objective.model, self._pictures, Versions(), on_progress)

    @torch.no_grad()
    def measure(self, before_pass: Callable[[], None] = lambda: None) -> ValidationResult:
        """The loss of the network as it now stands; it must be attached.

        before_pass: called before every pass; it may raise to stop.
        """
        network = self._objective.network
        training = network.training
        network.eval()
        sums = torch.zeros(len(self.timesteps), dtype=torch.float64)
        try:
            for index, picture in enumerate(self._pictures):
                for number in range(NOISES):
                    before_pass()
                    sums += self._errors(index, picture, number).double().cpu()
        finally:
            network.train(training)
        means = (sums / (len(self._pictures) * NOISES)).tolist()
        return ValidationResult(
            sum(means) / len(means), dict(zip(self.timesteps, means, strict=True))
        )

    def _errors(self, index: int, picture: Picture, number: int) -> Tensor:
        """Mean squared errors of one noise at every timestep, in one pass; (bands,)."""
        objective = self._objective
        model = objective.model
        count = len(self.timesteps)
        latents = self._latents.get(picture).to(model.device)
        generator = seeded(objective.settings.seed, "validation", index, number)
        noise = torch.randn(latents.shape, generator=generator).to(model.device)
        noise = noise.repeat(count, 1, 1, 1)
        latents = latents.repeat(count, 1, 1, 1)
        timesteps = torch.tensor(self.timesteps, device=model.device)
        alpha_bar = objective.alphas_cumprod[timesteps]
        sizes = torch.tensor([size_numbers(objective.settings.size_conditioning, picture)])
        texts = replace(objective.encode([picture.caption]), sizes=sizes.to(model.device))
        texts = _repeated(texts, count)
        predicted = model.predict(add_noise(latents, noise, alpha_bar), timesteps, texts)
        expected = target(latents, noise, alpha_bar, objective.prediction)
        return (predicted.float() - expected.float()).square().mean(dim=(1, 2, 3))


def bands(first: int, last: int) -> list[int]:
    """Timesteps that divide [first, last) evenly, without its ends; fewer where it is too short.

    Source: sd-scripts train_network.py (after v0.9.1), NUM_VALIDATION_TIMESTEPS.
    """
    steps = (
        torch.linspace(first, last, BANDS + 2, dtype=torch.float64)[1:-1].long().clamp(max=last - 1)
    )
    return sorted(set(steps.tolist()))


def _repeated(texts: Conditioning, count: int) -> Conditioning:
    return texts.mapped(lambda value: value.repeat(count, *(1 for _ in value.shape[1:])))
