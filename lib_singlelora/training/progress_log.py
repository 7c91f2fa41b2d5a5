"""What a training tells while it runs: its job's progress and events, and TensorBoard's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..jobs import Job, Progress
from .tensorboard_log import TensorboardLog
from .validation import ValidationResult

SMOOTHING = 0.95  # share of the smoothed loss that a step keeps


@dataclass
class TrainerState:
    """Where a training stands.

    step: optimizer steps done.
    epoch: the epoch that the next step belongs to, 0-based.
    position: steps done in that epoch.
    seconds: spent in steps so far.
    losses: of the epoch's steps so far.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class StepResult:
    """What an optimizer step came to.

    lr: of the first parameter group.
    rates: the distinct learning rates, the largest first.
    seconds: it took.
    samples: of all its batches.
    """

    loss: float
    lr: float
    rates: Sequence[float]
    seconds: float
    samples: int


class ProgressLog:
    """Reports a training's steps, epochs and validations.

    smoothed: exponential moving average of the loss.
    validated: the latest validation figures, by the names that progress and snapshots use.
    board: event files, where the caller wants them.
    """

    def __init__(self, steps: int, epochs: int) -> None:
        self._steps = steps
        self._epochs = epochs
        self.smoothed = 0.0
        self.validated: dict[str, float] = {}
        self.board: TensorboardLog | None = None

    def caching(self, job: Job, step: int, done: int, total: int) -> None:
        """A picture is about to be encoded."""
        message = f"encoding picture {done + 1} of {total}"
        job.report(Progress("train", step, self._steps, message))

    def step(
        self,
        job: Job,
        epoch: int,
        state: TrainerState,
        result: StepResult,
        figures: Mapping[str, float],
    ) -> None:
        """A step is done.

        epoch: 0-based.
        figures: further ones: of the loss scaler, of bounds and loss terms.
        """
        if state.step == 1 or not self.smoothed:
            self.smoothed = result.loss
        else:
            self.smoothed = SMOOTHING * self.smoothed + (1 - SMOOTHING) * result.loss
        mean = sum(state.losses) / len(state.losses)
        samples_per_second = result.samples / max(result.seconds, 1e-9)
        job.log(
            "step",
            step=state.step,
            epoch=epoch + 1,
            loss=round(result.loss, 6),
            smoothed=round(self.smoothed, 6),
            lr=result.lr,
            rates=list(result.rates),
            seconds=round(result.seconds, 4),
            samples_per_second=round(samples_per_second, 3),
            **figures,
        )
        if self.board:
            rates = {f"learning_rate_{n}": value for n, value in enumerate(result.rates)}
            self.board.write(
                "training",
                {
                    "loss": result.loss,
                    "smoothed_loss": self.smoothed,
                    "samples_per_second": samples_per_second,
                    **rates,
                },
                state.step,
            )
        values = {
            "loss": result.loss,
            "mean_loss": mean,
            "smoothed_loss": self.smoothed,
            "lr": result.lr,
            "epoch": epoch + 1,
            "samples_per_second": samples_per_second,
            **self.validated,
        }
        message = f"epoch {epoch + 1} of {self._epochs}, loss {mean:.4f}"
        job.report(Progress("train", state.step, self._steps, message, values))

    def validation(self, job: Job, epoch: int, step: int, result: ValidationResult) -> None:
        """A validation is done; epoch 0 is the checkpoint with an untrained LoRA."""
        self.validated["validation_loss"] = result.loss
        if epoch == 0:
            self.validated["validation_start"] = result.loss
        self.validated.update(
            {f"validation_t{timestep}": loss for timestep, loss in result.bands.items()}
        )
        job.log("validation", epoch=epoch, step=step, loss=result.loss, bands=dict(result.bands))
        if self.board:
            self.board.write("validation", result.figures(), step)
        message = f"epoch {epoch}: {result}"
        job.report(Progress("train", step, self._steps, message, dict(self.validated)))

    def epoch(
        self, job: Job, number: int, path: Path, state: TrainerState, norms: Mapping[str, float]
    ) -> None:
        """An epoch (1-based) is saved.

        norms: block -> mean norm of its modules' ΔW.
        """
        rounded = {label: round(norm, 5) for label, norm in norms.items()}
        mean = sum(state.losses) / max(1, len(state.losses))
        job.log("epoch", epoch=number, loss=mean, file=path.name, norms=rounded)
        if self.board:
            self.board.write("epoch", {"loss": mean}, state.step)
            self.board.write("norm", rounded, state.step)
