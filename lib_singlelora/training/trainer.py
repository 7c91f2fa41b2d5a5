"""The training loop: knows a TrainingModel and pictures, nothing of hosts and folders."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..errors import JobCancelled, SnapshotError, TrainingError
from ..host import TrainingModel
from ..jobs import Job
from ..lora.network import LoraNetwork, attached
from ..ops.checkpointing import checkpointed
from ..ops.fp16_storage import fp16_storage
from ..ops.frozen_autograd import frozen_autograd, recast_linears
from ..ops.frozen_linear import onednn_linears
from ..ops.winograd import winograd_convs
from ..settings.optimizer_fit import fitted
from ..settings.optimizer_table import SOURCES
from ..settings.training import TrainingSettings
from .batch import TrainingBatch, captions_of, make_batch, prior_acts, seeded, versions_of
from .checks import (
    COLLAPSED,
    check_loraplus,
    check_loss,
    check_weights,
    checkpoint_fault,
    out_of_memory,
    text_spread,
)
from .conv_layout import largest, layout_choice
from .cuda_graph import CudaGraph, recording_obstacle
from .ema import Ema
from .epoch_plan import Picture, Sample, budget, epoch_steps
from .grad_scaler import GradScaler
from .late_loss import LateLoss
from .latents import LatentCache
from .loss_terms import check_terms
from .memory import PeakMemory, peak_memory
from .memory_fit import is_small
from .objective import Objective
from .optimizers import build_optimizer
from .progress_log import ProgressLog, StepResult, TrainerState
from .schedule import learning_rate_factor
from .snapshot import Snapshot, load_snapshot, save_snapshot
from .validation import Validation

__all__ = ["Trainer", "TrainerState"]


@dataclass(frozen=True)
class _Untold:
    """A step whose loss is still to be read.

    result: without the loss.
    """

    loss: LateLoss
    step: int
    epoch: int
    batches: Sequence[Sequence[Sample]]
    result: StepResult
    figures: dict[str, float]


class Trainer:
    """One training, from wherever its snapshot stands to its end.

    pictures: the dataset, regularization pictures too.
    snapshot: the file that a training resumes from.
    fingerprint: of settings, pictures and checkpoint; a snapshot with another one is ignored.
    save_epoch: called with (epoch, network, state) after each epoch, 1-based, before its snapshot;
        gives the file's path.
    validated: pictures of the validation; none for no validation.
    Raises: TrainingError, for settings that cannot go together.
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
        check_terms(settings, pictures)
        self.model = model
        self.network = network
        self.pictures = pictures
        self.settings = settings
        self.snapshot = snapshot
        self.fingerprint = fingerprint
        self.save_epoch = save_epoch
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
        check_loraplus(settings)
        self.optimizer = build_optimizer(
            settings,
            network.parameter_groups(
                settings.unet_lr,
                settings.text_encoder_rates(len(model.layout.text)),
                one_rate,
                settings.loraplus_ratio,
            ),
            model.device,
        )
        self.scaler = GradScaler(model.compute_dtype == torch.float16)
        self.not_recorded = recording_obstacle(model, network, settings)
        self.cuda_graph = None if self.not_recorded else CudaGraph(self.objective)
        self.layout_choice = layout_choice(self.objective, self.cuda_graph is not None)
        # Without loss scaling nothing in a step needs the loss, so a GPU is not waited for
        self.reads_late = torch.device(model.device).type == "cuda" and not self.scaler.enabled
        self._untold: _Untold | None = None  # the step whose loss is still to be read
        self.validated = validated
        self.validation = Validation(self.objective, validated, self.latents) if validated else None
        self.ema = self._new_ema()
        self.figures: dict[str, float] = {}  # of the latest step, for the log
        self.log = ProgressLog(self.budget.steps, settings.epochs)
        self.ends_early = False  # set by `save_epoch`: no further epoch is begun
        self._untrained_spread = 0.0  # of the text encoder's encodings

    def _new_ema(self) -> Ema | None:
        """The average that the settings ask for.

        Raises: TrainingError, for an optimizer that keeps an average of its own.
        """
        if not self.settings.ema:
            return None
        if hasattr(self.optimizer.torch, "eval"):
            raise TrainingError(
                f"training.ema: found {self.settings.optimizer}, which averages the weights by"
                " itself, expected an optimizer that does not; switch training.ema off"
            )
        return Ema(self.network, self.settings.ema_decay)

    def resume(self) -> bool:
        """Continue from the snapshot; gives False if there is none of this very training.

        Raises: SnapshotError, for a broken one.
        """
        snapshot = load_snapshot(self.snapshot, self.fingerprint)
        if snapshot is None:
            return False
        try:
            self.network.load_state_dict(snapshot.network)
            self.optimizer.load(snapshot.optimizer)
            self.scaler.load(snapshot.scaler)
            if self.ema and snapshot.ema:
                self.ema.load(snapshot.ema)
            if self.objective.apt and snapshot.apt:
                self.objective.apt.load(snapshot.apt)
        # It bears this training's fingerprint, which anyone can copy, and holds something else
        except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise SnapshotError(
                f"{self.snapshot}: the snapshot is of another training ({type(error).__name__});"
                " delete it or call with --force to train from the start"
            ) from error
        self.state = TrainerState(
            snapshot.step,
            snapshot.epoch,
            snapshot.position,
            snapshot.seconds,
            list(snapshot.losses),
        )
        if self.validation:
            self.log.validated = dict(snapshot.validated)
        return True

    def run(self, job: Job) -> None:
        """Train to the end.

        Raises: JobCancelled, after a snapshot.
        Raises: TrainingError, for a loss that is not finite or memory that does not suffice; the
            epochs saved so far stay.
        """
        on_progress = partial(self._caching, job)
        # Captions are encoded later, without the VAE
        self.model.set_aside("text encoder", *(("unet",) if is_small(self.model) else ()))
        if encodes_when_asked(self.model):
            self.latents.fill_when_asked(self.model, self.pictures, job.raise_if_cancelled)
        else:
            self.latents.fill(self.model, self.pictures, versions_of(self.settings), on_progress)
        if self.validation:
            self.validation.fill(on_progress)
        self.model.set_aside("vae")
        if self.optimizer.warning:
            job.log("warning", message=self.optimizer.warning)
        if self.not_recorded and torch.device(self.model.device).type == "cuda":
            job.log("not_recorded", reason=self.not_recorded)
        if self.objective.trains_text:
            self._untrained_spread = text_spread(self.objective)
        self.network.train()
        self.optimizer.training()
        with out_of_memory(self.settings), ExitStack() as stack:
            if self.settings.gradient_checkpointing:
                halves = self.model.compute_dtype == torch.float32
                stack.enter_context(fp16_storage(self.model.blocks(), halves))
            stack.enter_context(self.prepared())
            if self.layout_choice:
                stack.enter_context(self.layout_choice.opened())
            if self.state.step == 0:
                self._validate(0, job)
            for epoch in range(self.state.epoch, self.settings.epochs):
                if self.ends_early:
                    break
                self._run_epoch(epoch, job)

    @contextmanager
    def prepared(self, checkpointing: bool = True) -> Iterator[None]:
        """While inside, the model is as `step` needs it, except for `fp16_storage`.

        checkpointing: False leaves gradient checkpointing out where it is set.
        """
        model = self.model
        settings = self.settings
        with ExitStack() as stack:
            stack.enter_context(frozen_autograd(model.targets(), model.blocks()))
            stack.enter_context(recast_linears(model.targets(), model.compute_dtype))
            stack.enter_context(onednn_linears(model.targets()))
            stack.enter_context(winograd_convs(module for _, module in model.targets()))
            if settings.gradient_checkpointing and checkpointing:
                stack.enter_context(checkpointed(model.blocks(), self.network.again))
            stack.enter_context(
                attached(self.network, model.targets(), settings.text_gradient == "trained blocks")
            )
            yield

    def _caching(self, job: Job, done: int, total: int) -> None:
        job.raise_if_cancelled()
        self.log.caching(job, self.state.step, done, total)

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
        self._choose_layout(job, steps[self.state.position :])
        for position in range(self.state.position, len(steps)):
            if job.cancelled:
                self._tell(job)
                self._save_snapshot()
                job.raise_if_cancelled()
            self._run_step(job, epoch, position, steps[position])
        self._tell(job)
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
                self.log.epoch(job, epoch + 1, path, saved, self.network.block_norms())
                self._check_text_encoder(job, epoch + 1)
        except JobCancelled:
            self._train_again()
            # At the end of the epoch's steps: the next call measures and saves it
            self._save_snapshot()
            raise
        self._train_again()
        self.state = TrainerState(saved.step, epoch + 1, 0, saved.seconds)
        self._save_snapshot()

    def _run_step(
        self, job: Job, epoch: int, position: int, batches: Sequence[Sequence[Sample]]
    ) -> None:
        started = time.monotonic()
        graph = self.cuda_graph
        was_recording = graph is not None and not graph.off
        loss, lr = self._launch(batches)
        self.state.step += 1
        self.state.position = position + 1
        rates = {float(group["lr"]) for group in self.optimizer.torch.param_groups}
        result = StepResult(
            0.0, lr, sorted(rates, reverse=True), 0.0, samples=sum(map(len, batches))
        )
        untold = _Untold(
            LateLoss(loss), self.state.step, epoch, batches, result, dict(self.figures)
        )
        if self.reads_late:
            self._tell(job)  # while the GPU computes the step that was just launched
        seconds = time.monotonic() - started
        self.state.seconds += seconds
        self._untold = replace(untold, result=replace(result, seconds=seconds))
        if not self.reads_late:
            self._tell(job)
        if graph and graph.off and was_recording:
            job.log("warning", message=graph.off)

    def _tell(self, job: Job) -> None:
        """Read the loss of the step that is not told yet, and tell it.

        Raises: TrainingError, for a loss that is not finite.
        """
        untold, self._untold = self._untold, None
        if untold is None:
            return
        loss = untold.loss.read()
        if self.reads_late:
            check_loss(loss, untold.step, partial(self._checkpoint_faults, untold.batches))
        self.state.losses.append(loss)
        state = replace(self.state, step=untold.step)
        self.log.step(job, untold.epoch, state, replace(untold.result, loss=loss), untold.figures)

    def _checkpoint_faults(self, batches: Sequence[Sequence[Sample]]) -> str:
        return next(filter(None, map(self._checkpoint_fault, batches)), "")

    def _train_again(self) -> None:
        self.network.train()
        self.optimizer.training()

    def _encode_ahead(self, steps: Sequence[Sequence[Sequence[Sample]]]) -> None:
        """On a GPU, encode an epoch's captions at once and take the text encoder off it."""
        self.model.set_aside("vae")
        if torch.device(self.model.device).type == "cpu" or self.objective.trains_text:
            return
        pairs = [
            captions_of(
                self.settings, batch, len(self.model.alphas_cumprod), self._prior_acts(step)
            )
            for step, batches in enumerate(steps, self.state.step)
            for batch in batches
        ]
        ahead = [captions for pair in pairs for captions in pair if captions]
        ahead += [[picture.caption] for picture in self.validated]
        self.objective.encode_ahead(ahead)
        self.model.set_aside("text encoder")

    def _choose_layout(self, job: Job, steps: Sequence[Sequence[Sequence[Sample]]]) -> None:
        """Once, before a pass is recorded: it would read the weights where they lay before."""
        choice = self.layout_choice
        if choice is None or choice.made or not steps:
            return
        passes = (self.budget.steps - self.state.step) * self.settings.gradient_accumulation
        ahead, batch = largest(steps)
        made = choice.make(self._make_batch(batch, self.state.step + ahead), passes)
        job.log(
            "conv_layout", channels_last=made.channels_last, share=made.share, message=str(made)
        )

    def peak_memory(self) -> PeakMemory:
        """What a step will need, from a few passes over tiny pictures."""
        sizes = [picture.bucket for picture in self.pictures]
        captions = [picture.caption for picture in self.pictures]
        with self.prepared(checkpointing=False), out_of_memory(self.settings):
            return peak_memory(self.model, self.network, self.settings, sizes, captions)

    def _validate(self, epoch: int, job: Job) -> None:
        """Measure and report; epoch 0 is the checkpoint with an untrained LoRA."""
        if self.validation:
            result = self.validation.measure(job.raise_if_cancelled)
            self.log.validation(job, epoch, self.state.step, result)

    def _check_text_encoder(self, job: Job, epoch: int) -> None:
        """Warn when a trained text encoder no longer tells prompts apart; epoch: 1-based."""
        if not self.objective.trains_text:
            return
        spread = text_spread(self.objective)
        if spread < COLLAPSED * self._untrained_spread:
            job.log(
                "warning",
                message=(
                    f"epoch {epoch}: the text encoder has collapsed: encodings of different prompts"
                    f" are {spread:.0%} apart, {self._untrained_spread:.0%} without the LoRA; use"
                    " an earlier epoch, or lower training.text_encoder_lr"
                ),
            )

    def step(self, batches: Sequence[Sequence[Sample]]) -> tuple[float, float]:
        """One optimizer step over one or more batches; gives (loss, lr of the first group).

        Raises: TrainingError, for a loss that is not finite.
        """
        loss, lr = self._launch(batches)
        value = float(loss)
        if self.reads_late:
            check_loss(value, self.state.step + 1, partial(self._checkpoint_faults, batches))
        return value, lr

    def _launch(self, batches: Sequence[Sequence[Sample]]) -> tuple[Tensor | float, float]:
        """One optimizer step, whose loss may still be on its way; gives (loss, lr).

        Raises: TrainingError, for a loss that is not finite, where it is not read late.
        """
        settings = self.settings
        groups = self.optimizer.torch.param_groups
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
        if self.cuda_graph:
            self.cuda_graph.zero_grad()
        else:
            self.optimizer.torch.zero_grad(set_to_none=True)
        samples = sum(map(len, batches))
        loss: Tensor | float = 0.0
        with self._seeded_dropout():
            for batch in batches:
                part = self._backward(batch, len(batch) / samples)
                if not self.reads_late:
                    fault = partial(self._checkpoint_fault, batch)
                    part = check_loss(float(part), self.state.step + 1, fault)
                loss = loss + part
        figures = self._penalize()
        stepped = self.scaler.step(
            self.optimizer.torch, list(self.network.parameters()), settings.max_grad_norm
        )
        if settings.scale_weight_norms:
            figures["scaled_modules"] = self.network.limit_norms(settings.scale_weight_norms)
        if self.ema and stepped:
            self.ema.update(self.network)
        if self.objective.apt:
            figures.update(self.objective.apt.figures())
        self.figures = {**self.scaler.figures(), **figures}
        return loss, float(groups[0]["lr"])

    def _penalize(self) -> dict[str, float]:
        """Add the gradient of the weight penalty, once a step; gives its value for the log."""
        if not self.settings.delta_penalty:
            return {}
        penalty = self.settings.delta_penalty * self.network.delta_square()
        self.scaler.backward(penalty)
        return {"delta_penalty": float(penalty.detach())}

    @contextmanager
    def _seeded_dropout(self) -> Iterator[None]:
        """While inside, dropouts draw from PyTorch's generator, seeded with the step."""
        random = self.network.shape.random
        with torch.random.fork_rng(enabled=random):
            if random:
                generator = seeded(self.settings.seed, "dropout", self.state.step)
                torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            yield

    def _backward(self, batch: Sequence[Sample], share: float) -> Tensor | float:
        """The batch's loss times its share of the step; its gradients are added."""
        if self.cuda_graph:
            return self.cuda_graph.backward(self._make_batch(batch), share)
        loss = self.loss(batch) * share
        if self.reads_late:
            self.scaler.backward(loss)
            return loss.detach()
        value = float(loss.detach())
        if math.isfinite(value):
            self.scaler.backward(loss)
        return value

    def _checkpoint_fault(self, batch: Sequence[Sample]) -> str:
        return checkpoint_fault(self.objective, self._make_batch(batch))

    def loss(self, batch: Sequence[Sample]) -> Tensor:
        """The batch's mean loss, an fp32 scalar.

        Noise, timestep, version and caption of a sample come from its own number.
        """
        return self.objective.loss(self._make_batch(batch))

    def _make_batch(self, batch: Sequence[Sample], step: int | None = None) -> TrainingBatch:
        """The batch as a step has it, 0-based; None for the present one."""
        length = len(self.model.alphas_cumprod)
        prior = self._prior_acts(self.state.step if step is None else step)
        return make_batch(self.settings, self.latents, batch, length, prior)

    def _prior_acts(self, step: int) -> bool:
        return prior_acts(self.settings, step, self.budget.steps)

    def _save_snapshot(self) -> None:
        state = self.state
        save_snapshot(
            self.snapshot,
            Snapshot(
                fingerprint=self.fingerprint,
                step=state.step,
                epoch=state.epoch,
                position=state.position,
                seconds=state.seconds,
                network=self.network.state_dict(),
                optimizer=self.optimizer.torch.state_dict(),
                losses=state.losses,
                scaler=self.scaler.state(),
                ema=self.ema.state() if self.ema else {},
                validated=self.log.validated,
                apt=self.objective.apt.state() if self.objective.apt else {},
            ),
        )


def encodes_when_asked(model: TrainingModel) -> bool:
    """True where the VAE need not make room for the training: pictures are encoded by the steps."""
    return torch.device(model.device).type == "cpu"
