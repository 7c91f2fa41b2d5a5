"""The training loop: knows a TrainingModel and pictures, nothing of hosts or folders."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..errors import JobCancelled, SnapshotError, TrainingError
from ..host import TrainingModel
from ..jobs import Job, Progress
from ..lora.network import LoraNetwork, attached
from ..ops.checkpointing import checkpointed
from ..ops.fp16_storage import fp16_storage
from ..ops.frozen_autograd import frozen_autograd, recast_linears
from ..ops.frozen_linear import onednn_linears
from ..ops.winograd import winograd_convs
from ..settings.optimizer_fit import fitted
from ..settings.optimizer_table import SOURCES
from ..settings.training import TrainingSettings
from .batch import TrainingBatch, captions_of, make_batch, seeded, versions_of
from .checks import COLLAPSED, check_loss, check_weights, culprit, out_of_memory, text_spread
from .cuda_graph import CudaGraph, recordable
from .ema import Ema
from .epoch_plan import Picture, Sample, budget, epoch_steps
from .grad_scaler import GradScaler
from .latents import LatentCache
from .memory import PeakMemory, peak_memory
from .objective import Objective
from .optimizers import build_optimizer
from .schedule import learning_rate_factor
from .snapshot import Snapshot, load_snapshot, save_snapshot
from .tensorboard_log import TensorboardLog
from .validation import Validation

SMOOTHING = 0.95  # of the smoothed loss: its share of the last value


@dataclass
class TrainerState:
    """Where a training stands.  position: steps done in the epoch; losses: of the epoch so far."""

    step: int = 0
    epoch: int = 0
    position: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


class Trainer:
    """One training, from wherever its snapshot stands to its end.

    save_epoch(epoch, network, state) is called after each epoch (1-based) and before its snapshot.
    """

    def __init__(
        self,
        model: TrainingModel,
        network: LoraNetwork,
        pictures: Sequence[Picture],
        settings: TrainingSettings,
        snapshot: Path,
        fingerprint: str,
        save_epoch: Callable[[int, LoraNetwork, TrainerState], Path],
        validated: Sequence[Picture] = (),
    ) -> None:
        settings = fitted(settings).settings
        self.model, self.network, self.pictures, self.settings = model, network, pictures, settings
        self.snapshot, self.fingerprint, self.save_epoch = snapshot, fingerprint, save_epoch
        self.budget = budget(
            pictures,
            settings.epochs,
            settings.batch_size,
            settings.seed,
            settings.gradient_accumulation,
            settings.class_share,
        )
        self.state = TrainerState()
        self.latents = LatentCache()
        self.objective = Objective(model, network, settings)
        one_rate = SOURCES[settings.optimizer].one_rate
        self.optimizer = build_optimizer(
            settings,
            network.parameter_groups(settings.unet_lr, settings.text_encoder_lr, one_rate),
            model.device,
        )
        self.scaler = GradScaler(model.compute_dtype == torch.float16)
        self.recorder = CudaGraph(self.objective) if recordable(model, network, settings) else None
        self.validated = validated
        self.validation = Validation(self.objective, validated, self.latents) if validated else None
        self.ema = self._average()
        self.smoothed = 0.0
        self._validated: dict[str, float] = {}
        self.board: TensorboardLog | None = None  # where the caller wants event files

    def _average(self) -> Ema | None:
        """Raises: TrainingError, for an optimizer that keeps an average of its own."""
        if not self.settings.ema:
            return None
        if hasattr(self.optimizer.torch, "eval"):
            raise TrainingError(
                f"training.ema: found {self.settings.optimizer}, which averages the weights by"
                " itself, expected an optimizer that does not; switch training.ema off"
            )
        return Ema(self.network, self.settings.ema_decay)

    def resume(self) -> bool:
        """Continue from the snapshot, if there is one of this very training.

        Raises: SnapshotError.
        """
        found = load_snapshot(self.snapshot, self.fingerprint)
        if found is None:
            return False
        try:
            self.network.load_state_dict(found.network)
            self.optimizer.load(found.optimizer)
            self.scaler.load(found.scaler)
            if self.ema and found.ema:
                self.ema.load(found.ema)
        # It bears this training's fingerprint, which anybody can copy, and holds something else.
        except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise SnapshotError(
                f"{self.snapshot}: the snapshot is of another training ({type(error).__name__});"
                " delete it or call with --force to train from the start"
            ) from error
        self.state = TrainerState(
            found.step, found.epoch, found.position, found.seconds, list(found.losses)
        )
        if self.validation:
            self._validated = dict(found.validated)
        return True

    def run(self, job: Job) -> None:
        """Train to the end.

        Raises: JobCancelled (after a snapshot), TrainingError (loss not finite, out of memory; the
        epochs saved so far stay).
        """
        versions = versions_of(self.settings)
        self.latents.fill(
            self.model, self.pictures, versions, lambda done, total: self._caching(job, done, total)
        )
        if self.validation:
            self.validation.fill(lambda done, total: self._caching(job, done, total))
        self.model.set_aside("vae")
        if self.optimizer.said:
            job.log("warning", message=self.optimizer.said)
        self._plain_spread = text_spread(self.objective) if self.objective.trains_text else 0.0
        self.network.train()
        self.optimizer.training()
        with out_of_memory(self.settings), ExitStack() as stack:
            if self.settings.gradient_checkpointing:
                stack.enter_context(fp16_storage(self.model.blocks()))
            stack.enter_context(self.prepared())
            if self.state.step == 0:
                self._validate(0, job)
            for epoch in range(self.state.epoch, self.settings.epochs):
                self._run_epoch(epoch, job)

    @contextmanager
    def prepared(self, recomputing: bool = True) -> Iterator[None]:
        """The model as `step` wants it while inside, all but the packing of its weights.

        recomputing: with gradient checkpointing, where it is set.
        """
        model, settings = self.model, self.settings
        with ExitStack() as stack:
            stack.enter_context(frozen_autograd(model.targets(), model.blocks()))
            stack.enter_context(recast_linears(model.targets(), model.compute_dtype))
            stack.enter_context(onednn_linears(model.targets()))
            stack.enter_context(winograd_convs(module for _, module in model.targets()))
            if settings.gradient_checkpointing and recomputing:
                stack.enter_context(checkpointed(model.blocks()))
            stack.enter_context(
                attached(self.network, model.targets(), settings.text_gradient == "trained blocks")
            )
            yield

    def _caching(self, job: Job, done: int, total: int) -> None:
        job.raise_if_cancelled()
        job.report(
            Progress(
                "train",
                self.state.step,
                self.budget.steps,
                f"encoding picture {done + 1} of {total}",
            )
        )

    def _run_epoch(self, epoch: int, job: Job) -> None:
        settings = self.settings
        steps = epoch_steps(
            self.pictures,
            epoch,
            settings.seed,
            settings.batch_size,
            settings.gradient_accumulation,
            settings.class_share,
        )
        self._encode_ahead(steps[self.state.position :])
        for position in range(self.state.position, len(steps)):
            if job.cancelled:
                self._save_snapshot()
                job.raise_if_cancelled()
            started, recording = time.monotonic(), not (self.recorder and self.recorder.off)
            loss, rate = self.step(steps[position])
            seconds = time.monotonic() - started
            if self.recorder and self.recorder.off and recording:
                job.log("warning", message=self.recorder.off)
            self.state.step, self.state.position = self.state.step + 1, position + 1
            self.state.seconds += seconds
            self.state.losses.append(loss)
            self._tell(job, epoch, loss, rate, seconds, sum(map(len, steps[position])))
        check_weights(self.network, epoch)
        # The state already points past the epoch, so that a snapshot taken now resumes with the
        # next one.
        saved = TrainerState(self.state.step, epoch + 1, 0, self.state.seconds, self.state.losses)
        self.network.eval()
        self.optimizer.evaluating()
        try:
            with self.ema.applied(self.network) if self.ema else nullcontext():
                self._validate(epoch + 1, job)
                path = self.save_epoch(epoch + 1, self.network, saved)
                self._tell_epoch(job, epoch, path, saved)
        except JobCancelled:
            self._train_again()
            # At the end of the epoch's steps: the next call measures and saves it
            self._save_snapshot()
            raise
        self._train_again()
        self.state = TrainerState(saved.step, epoch + 1, 0, saved.seconds)
        self._save_snapshot()

    def _train_again(self) -> None:
        self.network.train()
        self.optimizer.training()

    def _tell(
        self, job: Job, epoch: int, loss: float, rate: float, seconds: float, samples: int
    ) -> None:
        first = self.state.step == 1 or not self.smoothed
        self.smoothed = loss if first else SMOOTHING * self.smoothed + (1 - SMOOTHING) * loss
        mean = sum(self.state.losses) / len(self.state.losses)
        pace = samples / max(seconds, 1e-9)
        rates = sorted(
            {float(group["lr"]) for group in self.optimizer.torch.param_groups}, reverse=True
        )
        job.log(
            "step",
            step=self.state.step,
            epoch=epoch + 1,
            loss=round(loss, 6),
            smoothed=round(self.smoothed, 6),
            lr=rate,
            rates=rates,
            seconds=round(seconds, 4),
            samples_per_second=round(pace, 3),
            **self.scaler.figures(),
        )
        if self.board:
            self.board.write(
                "training",
                {
                    "loss": loss,
                    "smoothed_loss": self.smoothed,
                    "samples_per_second": pace,
                    **{f"learning_rate_{n}": value for n, value in enumerate(rates)},
                },
                self.state.step,
            )
        job.report(
            Progress(
                "train",
                self.state.step,
                self.budget.steps,
                f"epoch {epoch + 1} of {self.settings.epochs}, loss {mean:.4f}",
                {
                    "loss": loss,
                    "mean_loss": mean,
                    "smoothed_loss": self.smoothed,
                    "lr": rate,
                    "epoch": epoch + 1,
                    "samples_per_second": pace,
                    **self._validated,
                },
            )
        )

    def _encode_ahead(self, steps: Sequence[Sequence[Sequence[Sample]]]) -> None:
        """On a GPU: an epoch's captions at once, so that the text encoder's memory is free for the
        steps.
        """
        self.model.set_aside("vae")
        if torch.device(self.model.device).type == "cpu" or self.objective.trains_text:
            return
        pairs = [captions_of(self.settings, batch) for batches in steps for batch in batches]
        ahead = [captions for pair in pairs for captions in pair if captions]
        ahead += [[picture.caption] for picture in self.validated]
        self.objective.encode_ahead(ahead)
        self.model.set_aside("text encoder")

    def peak_memory(self) -> PeakMemory:
        """What a step will need; a few passes over tiny pictures."""
        sizes = [picture.bucket for picture in self.pictures]
        with self.prepared(recomputing=False), out_of_memory(self.settings):
            return peak_memory(
                self.model,
                self.network,
                self.settings,
                sizes,
                [picture.caption for picture in self.pictures],
            )

    def _validate(self, epoch: int, job: Job) -> None:
        """Measure, and tell; epoch 0 is the checkpoint without anything learned."""
        if not self.validation:
            return
        found = self.validation.measure(job.raise_if_cancelled)
        self._validated["validation_loss"] = found.loss
        if epoch == 0:
            self._validated["validation_start"] = found.loss
        self._validated.update(
            {f"validation_t{timestep}": loss for timestep, loss in found.bands.items()}
        )
        job.log(
            "validation",
            epoch=epoch,
            step=self.state.step,
            loss=found.loss,
            bands=dict(found.bands),
        )
        if self.board:
            self.board.write("validation", found.figures(), self.state.step)
        job.report(
            Progress(
                "train",
                self.state.step,
                self.budget.steps,
                f"epoch {epoch}: {found}",
                dict(self._validated),
            )
        )

    def _tell_epoch(self, job: Job, epoch: int, path: Path, saved: TrainerState) -> None:
        norms = {label: round(norm, 5) for label, norm in self.network.block_norms().items()}
        mean = sum(saved.losses) / max(1, len(saved.losses))
        job.log("epoch", epoch=epoch + 1, loss=mean, file=path.name, norms=norms)
        if self.board:
            self.board.write("epoch", {"loss": mean}, saved.step)
            self.board.write("norm", norms, saved.step)
        if not self.objective.trains_text:
            return
        spread = text_spread(self.objective)
        if spread < COLLAPSED * self._plain_spread:
            job.log(
                "warning",
                message=(
                    f"epoch {epoch + 1}: the text encoder collapses: different words give"
                    f" {spread:.0%} apart, without the LoRA {self._plain_spread:.0%}; take an"
                    " earlier epoch, or lower training.text_encoder_lr"
                ),
            )

    def step(self, batches: Sequence[Sequence[Sample]]) -> tuple[float, float]:
        """One optimizer step over one or more batches; returns (loss, learning rate of the first
        group).

        Raises: TrainingError, when the loss is not finite.
        """
        settings, groups = self.settings, self.optimizer.torch.param_groups
        factor = learning_rate_factor(
            settings.scheduler,
            self.state.step,
            self.budget.steps,
            settings.warmup,
            settings.restarts,
            settings.power,
        )
        for group in groups:
            group["lr"] = group["base_lr"] * factor
        if self.recorder:
            self.recorder.clear()
        else:
            self.optimizer.torch.zero_grad(set_to_none=True)
        count, total = sum(map(len, batches)), 0.0
        with torch.random.fork_rng(enabled=self.network.shape.random):
            if self.network.shape.random:
                torch.manual_seed(
                    int(
                        torch.randint(
                            2**62, (), generator=seeded(settings.seed, "dropout", self.state.step)
                        )
                    )
                )
            for batch in batches:
                total += check_loss(
                    self._backward(batch, len(batch) / count),
                    self.state.step + 1,
                    partial(self._culprit, batch),
                )
        stepped = self.scaler.step(
            self.optimizer.torch, list(self.network.parameters()), settings.max_grad_norm
        )
        if settings.scale_weight_norms:
            self.network.limit_norms(settings.scale_weight_norms)
        if self.ema and stepped:
            self.ema.update(self.network)
        return total, float(groups[0]["lr"])

    def _backward(self, batch: Sequence[Sample], share: float) -> float:
        """The batch's loss times its share of the step; its gradients are added to the network's."""
        if self.recorder:
            return self.recorder.backward(self._make_batch(batch), share)
        loss = self.loss(batch) * share
        found = float(loss.detach())
        if math.isfinite(found):
            self.scaler.backward(loss)
        return found

    def _culprit(self, batch: Sequence[Sample]) -> str:
        return culprit(self.objective, self._make_batch(batch))

    def loss(self, batch: Sequence[Sample]) -> Tensor:
        """The batch's loss: noise, timestep, version and caption of a sample come from its own
        number.
        """
        return self.objective.loss(self._make_batch(batch))

    def _make_batch(self, batch: Sequence[Sample]) -> TrainingBatch:
        return make_batch(self.settings, self.latents, batch, len(self.model.alphas_cumprod))

    def _save_snapshot(self) -> None:
        state = self.state
        save_snapshot(
            self.snapshot,
            Snapshot(
                self.fingerprint,
                state.step,
                state.epoch,
                state.position,
                state.seconds,
                self.network.state_dict(),
                self.optimizer.torch.state_dict(),
                state.losses,
                self.scaler.state(),
                self.ema.state() if self.ema else {},
                self._validated,
            ),
        )
