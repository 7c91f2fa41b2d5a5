"""The `.yaml` by which AUTOMATIC1111's WebUI 1.10.1 knows that a checkpoint predicts v.

It reads the prediction from the config beside the file alone: the keys `v_pred` and `ztsnr`, by
which the file says it, are read by its development branch and by Forge.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ..errors import CheckpointError
from ..families.family import Family
from ..files.fileio import write_text

# A family's config at full size with v-prediction, by the family's name.
FULL_SIZE = Path(__file__).parent / "v_configs"
HEAD = "# Written by Single LoRA: {name} predicts v, which the WebUI reads from here alone.\n"
SCALING = "sgm.modules.diffusionmodules.denoiser_scaling.VScaling"
WEIGHTING = "sgm.modules.diffusionmodules.denoiser_weighting.VWeighting"


def full_size(family: Family) -> str | None:
    """A family's config at full size with v-prediction; None where the WebUI needs none."""
    path = FULL_SIZE / f"{family.name}.yaml"
    return path.read_text(encoding="utf-8") if path.exists() else None


def predicts_v(text: str) -> bool:
    """True if a config says v-prediction; False for one that cannot be read, too."""
    try:
        params = _params(text)
    except (yaml.YAMLError, LookupError, TypeError, RecursionError):
        return False
    return params.get("parameterization") == "v" or "VScaling" in str(
        params.get("denoiser_config", "")
    )


def with_v_prediction(text: str, name: str) -> str:
    """A config with v-prediction in place of what it has; the rest says what it said.

    name: the config's, for messages.

    Raises:
        CheckpointError: it is no config of an ldm or generative-models model.
    """
    try:
        config = yaml.safe_load(text)
        params = config["model"]["params"]
        if "denoiser_config" in params:
            denoiser = params["denoiser_config"]["params"]
            denoiser["scaling_config"] = {"target": SCALING}
            denoiser["weighting_config"] = {"target": WEIGHTING}
        else:
            params["unet_config"]["params"]  # a LookupError or TypeError says that it is no config
            params["parameterization"] = "v"
    except (yaml.YAMLError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{name}: found no architecture in it ({type(error).__name__}), expected model.params"
            " as in sd_xl_base.yaml; write the .yaml beside the checkpoint by hand"
        ) from None
    dumped: str = yaml.safe_dump(config, sort_keys=False)
    return dumped


def config_of(checkpoint: Path) -> Path:
    """The place of a checkpoint's config: the WebUI takes the file's name with `.yaml` for it."""
    return checkpoint.with_suffix(".yaml")


def kept(checkpoint: Path) -> str:
    """Why nothing is written where a checkpoint has a config."""
    return (
        f"{config_of(checkpoint).name}: found such a file beside {checkpoint.name} already,"
        " expected none; it is kept: change EpsScaling to VScaling in it, or move it away"
    )


def write_beside(checkpoint: Path, text: str) -> Path:
    """Write a config beside a checkpoint; the config's path.

    Raises:
        CheckpointError: there is one already; it stays.
        WorkspaceError: the folder cannot be written.
    """
    target = config_of(checkpoint)
    if os.path.lexists(target):
        raise CheckpointError(kept(checkpoint))
    write_text(target, HEAD.format(name=checkpoint.name) + text)
    return target


def _params(text: str) -> dict[str, Any]:
    params = yaml.safe_load(text)["model"]["params"]
    if not isinstance(params, dict):
        raise TypeError("no mapping")
    return params
