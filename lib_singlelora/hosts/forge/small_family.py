"""A Stable Diffusion 1 of other widths, for programs that know checkpoints by their widths."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...files.fileio import write_json

CLASS = "SingleLoraSmall"  # of what is registered, with the widths behind it
TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


@dataclass(frozen=True)
class SmallFamily:
    """The sizes of a small checkpoint.

    unet, vae: parameters as the original configuration file names them.
    clip: folder with the text encoder's config.json and the tokenizer's files.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    clip: Path

    @property
    def name(self) -> str:
        """Of the class that is registered."""
        return f"{CLASS}{self.unet['model_channels']}"

    @property
    def widths(self) -> dict[str, int]:
        """By what the programs tell it from others."""
        return {name: self.unet[name] for name in ("context_dim", "model_channels")}

    def extra_config(self) -> dict[str, int]:
        """What tensors do not tell."""
        return {"num_heads": int(self.unet["num_heads"]), "num_head_channels": -1}

    def write_diffusers_folder(self, folder: Path) -> None:
        """The configuration as diffusers reads it, from a folder."""
        channels = [self.vae["ch"] * factor for factor in self.vae["ch_mult"]]
        vae = {
            "_class_name": "AutoencoderKL",
            "act_fn": "silu",
            "block_out_channels": channels,
            "down_block_types": ["DownEncoderBlock2D"] * len(channels),
            "up_block_types": ["UpDecoderBlock2D"] * len(channels),
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": self.vae["z_channels"],
            "layers_per_block": self.vae["num_res_blocks"],
            "norm_num_groups": 32,
            "sample_size": self.vae["resolution"],
        }
        index = {
            "_class_name": "StableDiffusionPipeline",
            "scheduler": ["diffusers", "PNDMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        }
        text = json.loads((self.clip / "config.json").read_text(encoding="utf-8"))
        for name, value in {
            "model_index.json": index,
            "scheduler/scheduler_config.json": SCHEDULER,
            "text_encoder/config.json": text,
            "vae/config.json": vae,
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_json(folder / name, value)
        (folder / "tokenizer").mkdir(exist_ok=True)
        for name in TOKENIZER:
            if not (folder / "tokenizer" / name).exists():
                shutil.copyfile(self.clip / name, folder / "tokenizer" / name)


def small_family(config: Path, clip: Path) -> SmallFamily:
    """The family of a checkpoint, from its original configuration file (.yaml)."""
    model = yaml.safe_load(config.read_text(encoding="utf-8"))["model"]["params"]
    return SmallFamily(
        model["unet_config"]["params"], model["first_stage_config"]["params"]["ddconfig"], clip
    )
