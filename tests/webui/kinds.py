"""Small checkpoints of other kinds: Stable Diffusion 2 with v-prediction, and inpainting."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from tests.small_checkpoint import CLIP, SMALL, VOCABULARY, tensors, yaml_text

# The narrowest text encoder among open_clip's own
ARCH = "ViT-S-32"
TEXT = 384
LAYERS = 12


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


def build_sd2(folder: Path) -> Path:
    """A narrow Stable Diffusion 2 that predicts v."""
    size = replace(SMALL, text=TEXT)
    weights = {
        key: value
        for key, value in tensors(0, size).items()
        if not key.startswith("cond_stage_model.")
    }
    generator = torch.Generator().manual_seed(1)
    for key, shape in open_clip_shapes():
        values = torch.randn(shape, generator=generator)
        if "embedding" in key:
            values = values * 0.5
        elif "ln_" in key and key.endswith("weight"):
            values = 1 + values * 0.1
        elif len(shape) == 1:
            values = values * 0.05 + (0.2 if key == "ln_final.bias" else 0)
        else:
            values = values / math.prod(shape[1:]) ** 0.5
        weights[f"cond_stage_model.model.{key}"] = values
    weights["cond_stage_model.model.logit_scale"] = torch.tensor(4.6)
    config = yaml_text(CLIP, size).replace(
        "num_timesteps_cond: 1\n", 'num_timesteps_cond: 1\n    parameterization: "v"\n'
    )
    head, _, _ = config.partition("    cond_stage_config:")
    return write(
        folder,
        "two",
        weights,
        head
        + f"""    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder
      params:
        arch: {ARCH}
        freeze: True
        layer: "penultimate"
""",
    )


def open_clip_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of open_clip's text encoder."""
    yield "positional_embedding", (77, TEXT)
    yield "text_projection", (TEXT, TEXT)
    yield "token_embedding.weight", (VOCABULARY, TEXT)
    for layer in range(LAYERS):
        block = f"transformer.resblocks.{layer}"
        for name, shape in (
            ("attn.in_proj_", (3 * TEXT, TEXT)),
            ("attn.out_proj.", (TEXT, TEXT)),
            ("ln_1.", (TEXT,)),
            ("ln_2.", (TEXT,)),
            ("mlp.c_fc.", (4 * TEXT, TEXT)),
            ("mlp.c_proj.", (TEXT, 4 * TEXT)),
        ):
            yield f"{block}.{name}weight", shape
            yield f"{block}.{name}bias", shape[:1]
    yield "ln_final.weight", (TEXT,)
    yield "ln_final.bias", (TEXT,)


def write(folder: Path, name: str, weights: dict[str, Tensor], config: str) -> Path:
    path = folder / f"{name}.safetensors"
    path.with_suffix(".yaml").write_text(config, encoding="utf-8")
    safetensors.torch.save_file(
        {key: value.contiguous() for key, value in weights.items()},
        path,
        {"native_size": json.dumps(64)},
    )
    return path
