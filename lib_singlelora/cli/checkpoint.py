"""The checkpoint that a command works with, and the standalone host that loads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..embedded.paths import CHECKPOINT
from ..errors import CheckpointError
from ..settings.declare import names_a_share
from ..workspace.workspace import Workspace

if TYPE_CHECKING:
    from ..host import Host


def checkpoint_path(given: Path | None, workspace: Workspace) -> Path:
    """The given checkpoint, else the workspace's last one, else the embedded one; absolute.

    Raises: CheckpointError, when there is none or the workspace names one on another machine.
    """
    saved = None if given else workspace.load_checkpoint_path()
    if saved and names_a_share(str(saved)):  # the workspace may come from anybody
        raise CheckpointError(
            f"{saved}: found the checkpoint on another machine, expected it on a "
            "drive; pass it with --checkpoint"
        )
    path = given or saved or (CHECKPOINT if CHECKPOINT.exists() else None)
    if path is None:
        raise CheckpointError(
            "found no checkpoint, expected --checkpoint FILE: a .safetensors or .ckpt of Stable"
            " Diffusion 1, Stable Diffusion 2 or SDXL"
        )
    return Path(os.path.abspath(path.expanduser()))


def load_host(checkpoint: Path, device: str | None = None) -> Host:
    """The standalone host with a checkpoint.  Raises: CheckpointError."""
    try:
        from ..hosts.standalone.light_import import import_diffusers_lightly

        import_diffusers_lightly()
        from ..hosts.standalone.host import StandaloneHost
    except ImportError as error:
        raise CheckpointError(
            f"found no {error.name}, expected the standalone packages; install them with pip "
            "install 'single-image-lora[standalone]', or call singlelora.py, which does"
        ) from error
    return StandaloneHost(checkpoint, device)


def host_of(workspace: Workspace, given: Path | None) -> Host:
    """The host for a workspace: `checkpoint_path`, loaded.  Raises: CheckpointError."""
    return load_host(checkpoint_path(given, workspace))
