"""A checkpoint of ours that is there already, to go on from."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn


def load_base(file: Path, unet: nn.Module, text: nn.Module) -> None:
    """Give U-Net and text encoder the file's weights."""
    unet.load_state_dict(_part(file, "model.diffusion_model."))
    own = _part(file, "cond_stage_model.transformer.text_model.")
    text.load_state_dict({k: own[k.removeprefix("text_model.")] for k in text.state_dict()})


def base_vae(file: Path) -> dict[str, Tensor]:
    """The autoencoder's weights."""
    return _part(file, "first_stage_model.")


def _part(file: Path, prefix: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {
        key.removeprefix(prefix): value.float()
        for key, value in load_file(file).items()
        if key.startswith(prefix)
    }
