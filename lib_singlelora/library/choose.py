"""The LoRA file that a number, a name or a path means."""

from __future__ import annotations

from pathlib import Path

from ..errors import LoraFileError
from ..files.fileio import is_own_file
from ..settings.schema import Settings
from ..workspace.recommendation import saved_recommendation
from ..workspace.workspace import Workspace
from .epochs import epoch_files, no_loras_error, published_name

STRENGTH = 0.8  # of a LoRA for which none is recommended


def choose_lora(settings: Settings, workspace: Workspace, asked: str = "") -> Path:
    """The LoRA file that is asked for.

    asked: an epoch's number, a name that prompts use, a file, or the folder of another workspace;
        '' is the recommended file, without one the last epoch's.
    Raises: LoraFileError, when it is not there.
    """
    epochs = epoch_files(workspace, settings)
    asked = asked.strip()
    if not asked:
        recommendation = saved_recommendation(workspace)
        if recommendation is not None:
            return recommendation.lora
        if not epochs:
            raise no_loras_error(workspace)
        return epochs[max(epochs)]
    files = [*epochs.values(), *derived_files(workspace)]
    named = {
        **{published_name(workspace, settings, path): path for path in files},
        **{path.stem: path for path in files},
        **{str(epoch): path for epoch, path in epochs.items()},
    }
    path = named.get(asked, Path(asked).expanduser())
    if path.is_dir():
        path = lora_of_workspace(path)
    if not path.is_file():
        trained = ", ".join(map(str, epochs)) or "none is trained"
        raise LoraFileError(
            f"{asked}: found no such LoRA, expected an epoch ({trained}), a file, or another"
            " workspace; check the name"
        )
    return path


def choose_use(
    settings: Settings, workspace: Workspace, asked: str, strength: float, preset: str
) -> tuple[Path, float, str]:
    """(the LoRA file, its strength, its block weights) for drawing.

    asked: as for `choose_lora`.
    strength, preset: 0 and '' take what is recommended for that file, else STRENGTH and ALL.
    Raises: LoraFileError.
    """
    lora = choose_lora(settings, workspace, asked)
    best = saved_recommendation(workspace)
    if best is None or best.lora != lora:
        return lora, strength or STRENGTH, preset or "ALL"
    return lora, strength or best.strength or STRENGTH, preset or best.preset


def lora_of_workspace(folder: Path) -> Path:
    """The LoRA that another workspace recommends, else its last epoch's.

    Raises: WorkspaceError, LoraFileError.
    """
    other = Workspace(folder, create=False)
    return choose_lora(other.load_settings(), other)


def derived_folder(workspace: Workspace) -> Path:
    """The folder of files that were derived from the epochs."""
    return workspace.models / "made"


def derived_files(workspace: Workspace) -> list[Path]:
    """The files that were derived from the epochs, sorted by name; no links."""
    return sorted(
        path for path in derived_folder(workspace).glob("*.safetensors") if is_own_file(path)
    )
