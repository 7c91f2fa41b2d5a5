"""The training loop: knows a TrainingModel and pictures, nothing of hosts or folders."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..dataset.captions import compose_caption
from ..errors import TrainingError
from ..host import Conditioning, TrainingModel
from ..jobs import Job, Progress
from ..lora.network import LoraNetwork, attached
from ..settings_training import TrainingSettings
from .latents import LatentCache
from .noise import add_noise, min_snr_weight, offset_noise, target, weighted_loss
from .samples import Picture, Sample, budget, epoch_batches
from .schedule import learning_rate_factor
from .snapshot import Snapshot, load_snapshot, save_snapshot


@dataclass
class Progressed:
    """Where a training stands.  position: batches done in the epoch; losses: of the epoch so far."""

    step: int = 0
    epoch: int = 0
    position: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


def seeded(seed: int, *path: object) -> torch.Generator:
    """A generator that depends on the run's seed and on what it is for, and on nothing that came before."""
    return torch.Generator().manual_seed(random.Random("/".join(map(str, (seed, *path)))).getrandbits(63))


class Trainer:
    """One training, from wherever its snapshot stands to its end.

    save_epoch(epoch, network, state) is called after each epoch (1-based) and before its snapshot.
    """

    def __init__(self, model: TrainingModel, network: LoraNetwork, pictures: Sequence[Picture],
                 settings: TrainingSettings, snapshot: Path, fingerprint: str,
                 save_epoch: Callable[[int, LoraNetwork, Progressed], Path]) -> None:
        self.model, self.network, self.pictures, self.settings = model, network, pictures, settings
        self.snapshot, self.fingerprint, self.save_epoch = snapshot, fingerprint, save_epoch
        self.budget = budget(pictures, settings.epochs, settings.batch_size, settings.seed)
        self.state = Progressed()
        self.latents = LatentCache()
        self.optimizer = torch.optim.AdamW(
            network.parameter_groups(settings.unet_lr, settings.text_encoder_lr), weight_decay=0.01)
        self._texts: dict[str, Conditioning] = {}

    def resume(self) -> bool:
        """Continue from the snapshot, if there is one of this very training.  Raises: SnapshotError."""
        found = load_snapshot(self.snapshot, self.fingerprint)
        if found is None:
            return False
        self.network.load_state_dict(found.network)
        self.optimizer.load_state_dict(found.optimizer)
        self.state = Progressed(found.step, found.epoch, found.position, found.seconds, list(found.losses))
        return True

    def run(self, job: Job) -> None:
        """Train to the end.

        Raises: JobCancelled (after a snapshot), TrainingError (loss not finite; the epochs saved so far stay).
        """
        self.latents.fill(self.model, self.pictures, self.settings.flip, lambda done, total: self._caching(job, done, total))
        with attached(self.network, self.model.targets()):
            for epoch in range(self.state.epoch, self.settings.epochs):
                self._run_epoch(epoch, job)

    def _caching(self, job: Job, done: int, total: int) -> None:
        job.raise_if_cancelled()
        job.report(Progress("train", self.state.step, self.budget.steps, f"encoding picture {done + 1} of {total}"))

    def _run_epoch(self, epoch: int, job: Job) -> None:
        batches = epoch_batches(self.pictures, epoch, self.settings.seed, self.settings.batch_size)
        for position in range(self.state.position, len(batches)):
            if job.cancelled:
                self._save_snapshot()
                job.raise_if_cancelled()
            started = time.monotonic()
            loss, rate = self.step(batches[position])
            seconds = time.monotonic() - started
            self.state.step, self.state.position = self.state.step + 1, position + 1
            self.state.seconds += seconds
            self.state.losses.append(loss)
            job.log("step", step=self.state.step, epoch=epoch + 1, loss=round(loss, 6), lr=rate, seconds=round(seconds, 4))
            mean = sum(self.state.losses) / len(self.state.losses)
            job.report(Progress("train", self.state.step, self.budget.steps,
                                f"epoch {epoch + 1} of {self.settings.epochs}, loss {mean:.4f}",
                                {"loss": loss, "mean_loss": mean, "lr": rate, "epoch": epoch + 1}))
        self._check_weights(epoch)
        # The state already points past the epoch, so that a snapshot taken now resumes with the next one.
        saved = Progressed(self.state.step, epoch + 1, 0, self.state.seconds, self.state.losses)
        path = self.save_epoch(epoch + 1, self.network, saved)
        job.log("epoch", epoch=epoch + 1, loss=sum(saved.losses) / max(1, len(saved.losses)), file=path.name)
        self.state = Progressed(saved.step, epoch + 1, 0, saved.seconds)
        self._save_snapshot()

    def step(self, batch: Sequence[Sample]) -> tuple[float, float]:
        """One optimizer step; returns (loss, learning rate of the first group).

        Raises: TrainingError, when the loss is not finite.
        """
        factor = learning_rate_factor(self.settings.scheduler, self.state.step, self.budget.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"step {self.state.step + 1}: the loss is {value}, expected a number; the epochs saved so far "
                                "are whole. Lower training.unet_lr (try a fifth) and train again")
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        return value, float(self.optimizer.param_groups[0]["lr"])

    def loss(self, batch: Sequence[Sample]) -> Tensor:
        """The batch's loss: noise, timestep, flip and caption order of a sample come from its own number."""
        settings = self.settings
        drawn: list[tuple[Tensor, Tensor, Tensor]] = []
        captions: list[str] = []
        scales: list[float] = []
        for sample in batch:
            generator = seeded(settings.seed, "sample", sample.number)
            chance = random.Random(f"{settings.seed}/caption/{sample.number}")
            latents = self.latents.get(sample.picture, settings.flip and chance.random() < 0.5)
            noise = offset_noise(torch.randn(latents.shape, generator=generator), settings.noise_offset, generator)
            timestep = torch.randint(0, len(self.model.alphas_cumprod), (1,), generator=generator)
            keep = settings.keep_tokens
            caption = compose_caption(sample.picture.caption, chance, shuffle=settings.shuffle_captions, keep_tokens=keep)
            weight = settings.prior_loss_weight if sample.picture.regularization else 1.0
            drawn.append((latents, noise, timestep))
            captions.append(caption)
            scales.append(weight)
        device = self.model.device
        latents, noise, timesteps = (torch.cat(parts).to(device) for parts in zip(*drawn, strict=True))
        alpha_bar = self.model.alphas_cumprod.to(device)[timesteps]
        weights = torch.tensor(scales, device=device)
        if settings.min_snr_gamma:
            weights = weights * min_snr_weight(alpha_bar, settings.min_snr_gamma, self.model.prediction)
        predicted = self.model.predict(add_noise(latents, noise, alpha_bar), timesteps, self._encode(captions))
        return weighted_loss(predicted, target(latents, noise, alpha_bar, self.model.prediction), weights)

    def _encode(self, captions: list[str]) -> Conditioning:
        if self.settings.text_encoder_lr and any("text_model." in name for name, _ in self.network.items()):
            return self.model.encode_prompts(captions, self.settings.clip_skip)
        key = "\n".join(captions)
        if key not in self._texts:
            with torch.no_grad():
                self._texts[key] = self.model.encode_prompts(captions, self.settings.clip_skip)
        return self._texts[key]

    def _check_weights(self, epoch: int) -> None:
        bad = [name for name, branch in self.network.items() for p in branch.parameters() if not torch.isfinite(p).all()]
        if bad:
            raise TrainingError(f"epoch {epoch + 1}: {len(bad)} weights are not numbers any more (first: {bad[0]}); the epochs "
                                "saved so far are whole. Lower training.unet_lr (try a fifth) and train again")

    def _save_snapshot(self) -> None:
        state = self.state
        save_snapshot(self.snapshot, Snapshot(self.fingerprint, state.step, state.epoch, state.position, state.seconds,
                                              self.network.state_dict(), self.optimizer.state_dict(), state.losses))
