"""The small SDXL in diffusers' own classes, loaded by diffusers' own loader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lib_singlelora.embedded.paths import CLIP
from tests.small_sdxl import HEAD_CHANNELS, LAYERS_2, LAYOUT, TEXT_1, VAE, WIDTH_2

WIDTHS = [LAYOUT.channels * multiplier for multiplier in LAYOUT.multipliers]
UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": WIDTHS,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 1, 2],
    "layers_per_block": 2,
    "in_channels": 4,
    "out_channels": 4,
    "attention_head_dim": [width // HEAD_CHANNELS for width in WIDTHS],
    "cross_attention_dim": LAYOUT.context,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": LAYOUT.vector,
    "sample_size": 8,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def text_2() -> dict[str, Any]:
    return {
        **TEXT_1,
        "architectures": ["CLIPTextModelWithProjection"],
        "hidden_size": WIDTH_2,
        "intermediate_size": 4 * WIDTH_2,
        "num_hidden_layers": LAYERS_2,
        "num_attention_heads": WIDTH_2 // 64,
        "projection_dim": WIDTH_2,
        "hidden_act": "gelu",
    }


def vae() -> dict[str, Any]:
    levels = len(VAE.vae_multipliers)
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [VAE.vae * multiplier for multiplier in VAE.vae_multipliers],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": VAE.vae_blocks,
        "latent_channels": 4,
        "scaling_factor": 0.13025,
        "force_upcast": False,
        "sample_size": 64,
    }


def write_configuration(folder: Path, **scheduler: Any) -> None:
    """The configuration as diffusers, and programs that read its folders, have it.

    folder: one that is not there yet, or empty.
    scheduler: further options of DDIM.
    """
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "force_zeros_for_empty_prompt": True,
    }
    configs = {
        "unet/config.json": UNET,
        "vae/config.json": vae(),
        "text_encoder/config.json": TEXT_1,
        "text_encoder_2/config.json": text_2(),
        "scheduler/scheduler_config.json": {**SCHEDULER, **scheduler},
        "model_index.json": {"_class_name": "StableDiffusionXLPipeline", **parts},
    }
    for name, config in configs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config), encoding="utf-8")
    shutil.copytree(CLIP, folder / "tokenizer")
    shutil.copytree(CLIP, folder / "tokenizer_2")
    # The second one's pad token is "!", whose number is 0
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / "tokenizer_2" / name
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**content, "pad_token": "!"}), encoding="utf-8")


def load_pipeline(checkpoint: Path, folder: Path, **scheduler: Any) -> Any:
    """A StableDiffusionXLPipeline in fp32.

    folder: an empty one, for the configuration.
    scheduler: further options of DDIM.
    """
    from diffusers import StableDiffusionXLPipeline

    write_configuration(folder, **scheduler)
    pipe = StableDiffusionXLPipeline.from_single_file(
        str(checkpoint), config=str(folder), local_files_only=True, add_watermarker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
