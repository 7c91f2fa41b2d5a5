"""Which LoRA file is meant, and the same file with block weights in it."""

from __future__ import annotations

from pathlib import Path

from ..errors import LoraFileError
from ..files.fileio import is_own_file
from ..settings.schema import Settings
from ..workspace.recommendation import saved_recommendation
from ..workspace.workspace import Workspace
from .epochs import epoch_files, no_loras_error, published_name


def choose_lora(settings: Settings, workspace: Workspace, asked: str = "") -> Path:
    """The file of an epoch's number, of a name that prompts use, or of a path; '' takes the
    recommended one, else the last.

    Raises: LoraFileError, when it is not there.
    """
    files, best, asked = (
        epoch_files(workspace, settings),
        saved_recommendation(workspace),
        asked.strip(),
    )
    if not asked:
        if not files and best is None:
            raise no_loras_error(workspace)
        return best.lora if best else files[max(files)]
    every = [*files.values(), *derived_files(workspace)]
    named = {
        **{published_name(workspace, settings, path): path for path in every},
        **{path.stem: path for path in every},
        **{str(epoch): path for epoch, path in files.items()},
    }
    path = named.get(asked, Path(asked).expanduser())
    if path.is_dir():
        path = lora_of_workspace(path)
    if not path.is_file():
        there = ", ".join(map(str, files)) or "none is trained"
        raise LoraFileError(
            f"{asked}: found no such LoRA, expected an epoch ({there}), a file, or another"
            " workspace; check the name"
        )
    return path


def lora_of_workspace(folder: Path) -> Path:
    """The LoRA that another workspace recommends, else its last epoch's.

    Raises: WorkspaceError, LoraFileError.
    """
    other = Workspace(folder, create=False)
    return choose_lora(other.load_settings(), other)


def derived_folder(workspace: Workspace) -> Path:
    """Where files lie that were made of the epochs."""
    return workspace.models / "made"


def derived_files(workspace: Workspace) -> list[Path]:
    """The files that were made of the epochs, by name; no links."""
    return sorted(
        path for path in derived_folder(workspace).glob("*.safetensors") if is_own_file(path)
    )
