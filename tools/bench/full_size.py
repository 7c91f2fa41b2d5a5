"""Stable Diffusion 1.5's architecture at full size with random weights, for us and for the peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lib_singlelora.embedded.paths import CLIP
from lib_singlelora.hosts.standalone.checkpoint_loader import CheckpointNetworks
from lib_singlelora.naming.blocks import SD1

SIDE = 512
SD15_UNET = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SD15_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}


def full_size() -> CheckpointNetworks:
    """860 M U-Net, 123 M text encoder and the VAE, frozen: a file of fp16 as it lies in memory, in
    fp32.
    """
    torch.manual_seed(1)
    unet = UNet2DConditionModel(**SD15_UNET)
    vae = AutoencoderKL(**SD15_VAE)
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            hidden_act="quick_gelu",
            bos_token_id=49406,
            eos_token_id=49407,
        )
    )
    for network in (unet, vae, text):
        network.eval().requires_grad_(False)
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    tokenizer: Any = CLIPTokenizer.from_pretrained(Path(CLIP), local_files_only=True)
    return CheckpointNetworks(
        unet,
        vae,
        text,
        tokenizer,
        SD1,
        torch.cumprod(1 - betas, 0).float(),
        0.00085,
        0.012,
        0.18215,
    )


def twin(networks: CheckpointNetworks) -> tuple[Any, Any]:
    """(U-Net, text encoder) on the same weights in memory, for the peer's own wrappers."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD15_UNET)
        text = CLIPTextModel(networks.text.config)
    unet.load_state_dict(networks.unet.state_dict(), assign=True)
    text.load_state_dict(networks.text.state_dict(), assign=True, strict=False)
    # Position numbers are no weights and stayed on "meta"
    for name, buffer in networks.text.named_buffers():
        owner, _, last = name.rpartition(".")
        setattr(text.get_submodule(owner), last, buffer)
    return unet.eval().requires_grad_(False), text.eval().requires_grad_(False)
