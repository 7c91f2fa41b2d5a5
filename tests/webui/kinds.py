"""A small checkpoint of another kind: inpainting."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from tests.small_checkpoint import tensors, yaml_text


def build_inpainting(folder: Path) -> Path:
    """The small checkpoint with 9 input channels, and the config of inpainting checkpoints."""
    weights = tensors(0)
    key = "model.diffusion_model.input_blocks.0.0.weight"
    weights[key] = torch.cat([weights[key], torch.zeros(weights[key].shape[0], 5, 3, 3)], dim=1)
    config = yaml_text((folder / "clip").resolve())
    for before, after in (
        ("in_channels: 4", "in_channels: 9"),
        ("LatentDiffusion", "LatentInpaintDiffusion"),
        ("key: crossattn", "key: hybrid"),
        ("use_ema: False", "use_ema: False\n    finetune_keys: null"),
    ):
        config = config.replace(before, after)
    return write(folder, "inpainting", weights, config)


def write(folder: Path, name: str, weights: dict[str, Tensor], config: str) -> Path:
    path = folder / f"{name}.safetensors"
    path.with_suffix(".yaml").write_text(config, encoding="utf-8")
    safetensors.torch.save_file(
        {key: value.contiguous() for key, value in weights.items()},
        path,
        {"native_size": json.dumps(64)},
    )
    return path
