"""The files of a training's epochs, and what prompts call them."""

from __future__ import annotations

from pathlib import Path

from ..errors import LoraFileError
from ..files.fileio import is_own_file
from ..settings.schema import Settings
from ..workspace.workspace import Workspace


def epoch_file(workspace: Workspace, settings: Settings, epoch: int) -> Path:
    """kohya's name of an epoch's file: the last one has no number."""
    name = workspace.lora_name(settings)
    last = epoch == settings.training.epochs
    return workspace.models / (f"{name}.safetensors" if last else f"{name}-{epoch:06d}.safetensors")


def epoch_files(workspace: Workspace, settings: Settings) -> dict[int, Path]:
    """The epochs that are on disk; a link to a file elsewhere is none, for what is trained gets
    copied and published.
    """
    paths = {
        epoch: epoch_file(workspace, settings, epoch)
        for epoch in range(1, settings.training.epochs + 1)
    }
    return {epoch: path for epoch, path in paths.items() if is_own_file(path)}


def no_loras_error(
    workspace: Workspace, wanted: str = "no LoRA, expected a trained one"
) -> LoraFileError:
    """What to say where a LoRA is needed and `model/` holds none: whether it was trained decides
    what to do.
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
    """What a prompt calls an epoch: the workspace's name, which no other has, and kohya's number."""
    return f"{workspace.root.name.replace(' ', '_')}{file.stem.removeprefix(workspace.lora_name(settings))}"


def missing_epoch_files(workspace: Workspace) -> list[Path]:
    """The files that a finished training wrote and that are not there any more."""
    record = workspace.record("train")
    return (
        [path for path in workspace.files_of(record) if not path.exists()]
        if record.complete
        else []
    )
