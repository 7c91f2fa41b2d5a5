"""What a training reports of its steps and validations."""

from lib_singlelora.jobs import Job, Progress
from lib_singlelora.training.progress_log import ProgressLog, StepResult, TrainerState
from lib_singlelora.training.validation import ValidationResult


def report(log: ProgressLog, *losses: float) -> Progress:
    """The progress after steps with these losses, two samples and half a second each."""
    reports: list[Progress] = []
    job = Job("train", reports.append)
    state = TrainerState()
    for loss in losses:
        state.step += 1
        state.losses.append(loss)
        log.step(job, 0, state, StepResult(loss, 1e-3, [1e-3], 0.5, 2), {})
    return reports[-1]


def test_the_smoothed_loss_begins_with_the_first_and_keeps_most_of_itself() -> None:
    progress = report(ProgressLog(4, 2), 1.0, 2.0)
    assert progress.values["smoothed_loss"] == 0.95 * 1.0 + (1 - 0.95) * 2.0
    assert progress.values["mean_loss"] == 1.5
    assert progress.values["samples_per_second"] == 4.0
    assert (progress.done, progress.total) == (2, 4)


def test_steps_tell_the_latest_validation_and_the_first() -> None:
    log = ProgressLog(4, 2)
    for epoch, loss in enumerate((0.5, 0.25)):
        log.validation(Job("train"), epoch, 0, ValidationResult(loss, {200: loss}))
    values = report(log, 1.0).values
    assert values["validation_start"] == 0.5
    assert values["validation_loss"] == values["validation_t200"] == 0.25
