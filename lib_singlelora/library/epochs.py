"""The files of a training's epochs, and what prompts call them."""

from __future__ import annotations

from pathlib import Path

from ..errors import LoraFileError
from ..files.fileio import is_own_file
from ..settings.schema import Settings
from ..workspace.workspace import Workspace


def epoch_file(workspace: Workspace, settings: Settings, epoch: int) -> Path:
    """The path of an epoch's file, named as kohya does: the last one has no number."""
    name = workspace.lora_name(settings)
    if epoch != settings.training.epochs:
        name = f"{name}-{epoch:06d}"
    return workspace.models / f"{name}.safetensors"


def epoch_files(workspace: Workspace, settings: Settings) -> dict[int, Path]:
    """The files of the epochs that are on disk, by number.

    A link to a file elsewhere is none, for what is trained gets copied and published.
    """
    paths = {
        epoch: epoch_file(workspace, settings, epoch)
        for epoch in range(1, settings.training.epochs + 1)
    }
    return {epoch: path for epoch, path in paths.items() if is_own_file(path)}


def no_loras_error(
    workspace: Workspace, wanted: str = "no LoRA, expected a trained one"
) -> LoraFileError:
    """The error where a LoRA is needed and `model/` holds none.

    What to do depends on whether one was trained and is gone.

    wanted: what was found and what was expected, in words.
    """
    gone = missing_epoch_files(workspace)
    if not gone:
        return LoraFileError(f"{workspace.models}: found {wanted}; call 'train' first")
    return LoraFileError(
        f"{workspace.models}: found none of the {len(gone)} files that were trained"
        f" ({gone[-1].name} is one of them), expected them where 'train' wrote them; put them back,"
        " or train again with 'train --force'"
    )


def published_name(workspace: Workspace, settings: Settings, file: Path) -> str:
    """What a prompt calls a file: the workspace's name, which no other has, and kohya's number."""
    suffix = file.stem.removeprefix(workspace.lora_name(settings))
    return f"{workspace.root.name.replace(' ', '_')}{suffix}"


def missing_epoch_files(workspace: Workspace) -> list[Path]:
    """The files that a finished training wrote and that are not there any more."""
    record = workspace.record("train")
    if not record.complete:
        return []
    return [path for path in workspace.files_of(record) if not path.exists()]
