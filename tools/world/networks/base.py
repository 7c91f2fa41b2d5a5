"""A checkpoint of ours that is there already, to go on from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor, nn


def load_base(file: Path, unet: nn.Module, text: nn.Module) -> None:
    """Give U-Net and text encoder the file's weights.

    Raises: SystemExit, for a file that is none of ours.
    """
    own = _part(file, "cond_stage_model.transformer.text_model.")
    try:
        unet.load_state_dict(_part(file, "model.diffusion_model."))
        text.load_state_dict({k: own[k.removeprefix("text_model.")] for k in text.state_dict()})
    except (RuntimeError, KeyError):
        raise SystemExit(
            f"{file}: found a checkpoint of other networks, expected one of ours, as"
            " tools.world.export writes it"
        ) from None


def base_vae(file: Path) -> dict[str, Tensor]:
    """The autoencoder's weights.  Raises: SystemExit, for a file that is no checkpoint."""
    return _part(file, "first_stage_model.")


def fingerprint(weights: dict[str, Tensor]) -> str:
    """Twelve hexadecimal digits, of what the weights are."""
    mark = hashlib.sha256()
    for key in sorted(weights):
        mark.update(key.encode() + weights[key].contiguous().cpu().numpy().tobytes())
    return mark.hexdigest()[:12]


def check_same_base(state: dict[str, Any], base: str) -> None:
    """Raise SystemExit where a state's training went on from something else.

    base: fingerprint of what this training goes on from; "" for nothing.
    """
    before = state.get("base", "")
    if before != base:
        raise SystemExit(
            f"found a training that went on from {before or 'nothing'}, expected one from"
            f" {base or 'nothing'}; take another --state, or the --base of before"
        )


def _part(file: Path, prefix: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise SystemExit(
            f"{file}: found no safetensors file ({error}), expected a checkpoint"
        ) from None
    part = {
        key.removeprefix(prefix): value.float()
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    if not part:
        raise SystemExit(f"{file}: found no {prefix}* in it, expected a checkpoint of ours")
    return part
