"""A checkpoint that predicts v, which the WebUI takes for one that predicts epsilon.

1.10.1 knows v-prediction by the config beside the file alone; where that is missing, it is offered.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from modules import sd_models
from modules.call_queue import queue_lock

from ...errors import CheckpointError
from ...families.parameterization import Parameterization, parameterization_of
from ...families.sd1 import SD1
from ...files.fileio import file_state
from ...files.weights import Header, UnreadableWeights, read_header
from ...host import NOTHING_TO_MEND, CheckpointProblem
from ..v_config import config_of, predicts_v, with_v_prediction, write_beside

if TYPE_CHECKING:
    from modules.sd_models_types import WebuiSdModel


@lru_cache(maxsize=8)
def _header(path: Path, state: tuple[int, ...]) -> Header | None:
    """A safetensors file's header; None for any other file.  state: the file's, for the cache."""
    try:
        return read_header(path)
    except (OSError, UnreadableWeights):
        return None


def header_of(path: Path) -> Header | None:
    """A checkpoint's header, read once for each version of the file; None where it has none."""
    try:
        return _header(path, file_state(path))
    except OSError:
        return None


def told_by_file(path: Path) -> Parameterization | None:
    """What a checkpoint's file says of itself, whatever config lies beside it; None for nothing."""
    header = header_of(path)
    if header is None:
        return None
    # Of the family only the custom is read, where a file says nothing.
    told = parameterization_of(SD1, header.shapes, header.metadata)
    return told if told.prediction == "v_prediction" else None


def has_zero_terminal_snr(sd_model: WebuiSdModel) -> bool:
    """True if the loaded checkpoint's file says that its last timestep is pure noise."""
    told = told_by_file(Path(sd_model.sd_checkpoint_info.filename))
    return told is not None and told.zero_terminal_snr and sd_model.parameterization == "v"


def problem_of(sd_model: WebuiSdModel | None) -> CheckpointProblem | None:
    """Why the loaded checkpoint is taken for what it is not; None where it is not."""
    if sd_model is None or sd_model.parameterization == "v":
        return None
    path = Path(sd_model.sd_checkpoint_info.filename)
    told = told_by_file(path)
    if told is None:
        return None
    config = config_of(path)
    found = f"{path.name}: found v-prediction in the file ({told.source})"
    if not config.exists():
        return CheckpointProblem(
            f"{found} and no {config.name} beside it, from which alone the WebUI reads that: it"
            f" takes the checkpoint for one of epsilon prediction, and its pictures are noise;"
            f" press 'Write {config.name}'",
            f"Write {config.name}",
        )
    if _says_v(config):
        return CheckpointProblem(
            f"{found} and in {config.name}, expected the WebUI to have loaded it so: it was loaded"
            " before that file was there; press 'Load the checkpoint anew'",
            "Load the checkpoint anew",
        )
    return CheckpointProblem(
        f"{found}, expected it in {config.name} beside it too, from which alone the WebUI reads it;"
        " change EpsScaling to VScaling in that file, or move it away"
    )


def require_right_prediction(sd_model: WebuiSdModel) -> None:
    """Do nothing if the WebUI takes the loaded checkpoint for what it is.

    Raises:
        CheckpointError: it predicts v, and the WebUI takes it for epsilon.
    """
    problem = problem_of(sd_model)
    if problem is not None:
        raise CheckpointError(problem.text)


def mend(sd_model: WebuiSdModel | None) -> str:
    """Write the config beside the loaded checkpoint, and load it anew; a line for the user.

    Raises:
        CheckpointError: there is nothing to mend, or another config is there already.
        WorkspaceError: the checkpoint's folder cannot be written.
    """
    problem = problem_of(sd_model)
    if sd_model is None or problem is None:
        raise CheckpointError(NOTHING_TO_MEND)
    path = Path(sd_model.sd_checkpoint_info.filename)
    if not problem.remedy:
        raise CheckpointError(problem.text)
    done = ""
    if not _says_v(config_of(path)):
        text = _config_in_use(sd_model)
        done = f"{write_beside(path, text)} is written. "
    if not queue_lock.acquire(blocking=False):
        return f"{done}The WebUI is drawing: when that is done, press 'Load the checkpoint anew'."
    try:
        sd_models.reload_model_weights(info=sd_model.sd_checkpoint_info, forced_reload=True)
    finally:
        queue_lock.release()
    return f"{done}{path.name} is loaded anew, with v-prediction."


def _config_in_use(sd_model: WebuiSdModel) -> str:
    """The config by which the WebUI built the loaded checkpoint, with v-prediction in it."""
    config = Path(sd_model.used_config)
    return with_v_prediction(config.read_text(encoding="utf-8"), config.name)


def _says_v(config: Path) -> bool:
    try:
        return predicts_v(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
