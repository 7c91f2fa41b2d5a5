"""Train: the LoRA, one file an epoch, resumable at any step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..library.epochs import epoch_files, missing_epoch_files, no_loras_error
from ..library.publish import publish
from ..settings.schema import Settings
from ..settings.training import TrainingSettings
from ..workspace.resume import begin, finish
from ..workspace.stage_record import StageRecord
from ..workspace.workspace import Workspace
from .context import StageContext
from .train_early_stop import reason_to_stop
from .train_run import PASSES, TrainingRun
from .train_task import task_of


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    loras: the epochs' files, first to last.
    budget: what was trained, in words.
    blocks: labels of the blocks with branches.
    warnings: what the user should check.
    memory: what a step needs, calculated, in words.
    stopped: why it ended before its last epoch, in words; '' where it did not.
    """

    loras: tuple[Path, ...]
    budget: str
    blocks: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    memory: str = ""
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "loras": [str(path) for path in self.loras],
            "budget": self.budget,
            "memory": self.memory,
            "blocks": list(self.blocks),
            "warnings": list(self.warnings),
            "stopped": self.stopped,
        }


def train(context: StageContext) -> TrainResult:
    """Train the LoRA on the host's checkpoint.

    Raises: TrainingError, PresetError; JobCancelled, after a snapshot from which the next call
        continues exactly.
    """
    workspace = context.workspace
    host = context.host
    task = task_of(context)
    record, done = begin(workspace, "train", task.mark, context.force)
    if done and record.data.get("stopped"):
        # It ended early; with more patience it goes on from its snapshot
        done = record.complete = bool(reason_to_stop(task.settings, record))
    if done:
        return _done_before(context, task.settings, record)
    snapshot = workspace.snapshot / "state.pt"
    if context.force and snapshot.exists():
        snapshot.unlink()
    precision = task.settings.training.precision
    if precision == "auto" and snapshot.exists():
        precision = str(record.data.get(PASSES, precision))
    with host.exclusive(context.job), host.open_for_training(precision) as model:
        last = TrainingRun(context, task, record, model).run()
    # Of an earlier training, later epochs than the one in which this ended would count as its own
    saved = epoch_files(workspace, task.settings).items()
    finish(workspace, record, [path for epoch, path in saved if epoch <= last])
    return _result(task.settings, workspace, record.data)


def _done_before(context: StageContext, settings: Settings, record: StageRecord) -> TrainResult:
    """The result of a training that has ended, its files where the host finds them."""
    workspace = context.workspace
    files = epoch_files(workspace, settings)
    if not files:
        raise no_loras_error(workspace)
    publish(settings, workspace, context.host, files)
    notes = [*_missing_files(workspace), *_unvalidated(settings.training, record.data)]
    warnings = [*notes, *record.data.get("warnings", ())]
    return _result(settings, workspace, {**record.data, "warnings": warnings})


def _result(settings: Settings, workspace: Workspace, data: dict[str, Any]) -> TrainResult:
    return TrainResult(
        tuple(epoch_files(workspace, settings).values()),
        str(data.get("budget", "")),
        tuple(data.get("blocks", ())),
        tuple(data.get("warnings", ())),
        str(data.get("memory", "")),
        str(data.get("stopped", "")),
    )


def _missing_files(workspace: Workspace) -> list[str]:
    """A note where files of a finished training were moved or deleted."""
    names = [path.name for path in missing_epoch_files(workspace)]
    if not names:
        return []
    return [
        f"model/: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not there any more; the"
        " training is done and not repeated: put back what is missing, or call 'train --force'"
    ]


def _unvalidated(options: TrainingSettings, data: dict[str, Any]) -> list[str]:
    """A note where a finished training was not validated as the settings now say."""
    if options.validation in ("off", data.get("validation", "off")):
        return []
    return [
        f"training.validation={options.validation}: this training is done and was not validated so;"
        " train again with --force"
    ]
