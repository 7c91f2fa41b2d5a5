"""One training step of 512², batch 1, rank 16: the limit, the peer, and ours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from lib_singlelora.hosts.standalone.checkpoint_loader import CheckpointNetworks
from lib_singlelora.hosts.standalone.cpu_precision import bf16_weights
from lib_singlelora.hosts.standalone.training_model import (
    StandaloneTrainingModel,
    borrowed_networks,
)
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.ops.conv_layout import channels_last_convs
from lib_singlelora.ops.fp16_storage import fp16_storage
from lib_singlelora.settings.schema import Settings
from lib_singlelora.training.epoch_plan import Picture, Sample
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.trainer import Trainer

from .full_size import SIDE, twin

Step = Callable[[], None]
CAPTION = "isabella, girl, white hat, green bow, standing, simple background"
KINDS: dict[str, dict[str, Any]] = {
    "full": {"rank": 16, "alpha": 16, "unet_lr": 1e-4, "text_encoder_lr": 5e-5},
    "checkpointing": {
        "rank": 16,
        "alpha": 16,
        "unet_lr": 1e-4,
        "text_encoder_lr": 5e-5,
        "gradient_checkpointing": True,
    },
    "outd": {
        "rank": 16,
        "alpha": 16,
        "unet_lr": 1e-4,
        "text_encoder_lr": 0,
        "block_weights": "OUTD",
    },
}
PEER_UNET = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
PEER_TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def limit(networks: CheckpointNetworks) -> Step:
    """The U-Net forward, and backward to its input and its context; nothing is trained."""
    unet, _ = twin(networks)  # on weights laid out as they are loaded
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    context = torch.randn(1, 77, 768)

    def step() -> None:
        x = latents.clone().requires_grad_()
        c = context.clone().requires_grad_()
        loss: Any = unet(x, torch.tensor([500]), c).sample.square().mean()
        loss.backward()

    return step


def peer(networks: CheckpointNetworks, dtype: torch.dtype = torch.float32) -> Step:
    """diffusers and peft in a plain loop: U-Net and text encoder, AdamW.

    dtype: bf16 computes under autocast, as accelerate's mixed precision does.
    """
    from peft import LoraConfig

    unet, text = twin(networks)
    unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=PEER_UNET))
    text.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=PEER_TEXT))
    parameters = [p for network in (unet, text) for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    tokens = networks.tokenizer(
        CAPTION, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)

    def step() -> None:
        noise = torch.randn_like(latents)
        timestep = torch.randint(0, 1000, (1,))
        alpha = networks.alphas_cumprod[timestep].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            predicted = unet(noisy, timestep, text(tokens)[0]).sample
        loss = F.mse_loss(predicted.float(), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def ours(
    networks: CheckpointNetworks,
    kind: str,
    folder: Path,
    stack: ExitStack,
    device: str = "cpu",
    batch: int = 1,
) -> Step:
    """The trainer's own step; stack: what stays open while it is called.  kind: of KINDS, with
    ` graphs`, ` bf16` and ` channels_last` behind it or not.

    With gradient checkpointing the networks' weights are packed from now on, so that no other step
    may share them.
    """
    plain, *how = kind.split()
    chosen = {**KINDS[plain], "batch_size": batch, "cuda_graphs": "graphs" in how}
    dtype = torch.bfloat16 if "bf16" in how else None
    options = Settings.from_dict(
        {f"training.{name}": value for name, value in chosen.items()}
    ).training
    path = folder / f"{plain}.png"
    Image.fromarray(
        np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    ).save(path)
    picture = Picture(path, CAPTION, (SIDE, SIDE))
    if dtype is not None:
        stack.enter_context(bf16_weights(networks.unet, device, dtype))
    stack.enter_context(borrowed_networks(networks, device))
    if "channels_last" in how:  # of itself a step measures nothing: `Trainer.run` does
        stack.enter_context(channels_last_convs(networks.unet.modules()))
    model = StandaloneTrainingModel(networks, device, dtype)
    weights = parse_block_weights(options.block_weights, model.layout).as_dict()
    network = LoraNetwork(
        model.targets(), model.layout, shape_of(options), weights, options.text_encoder_lr > 0, 1
    )
    trainer = Trainer(
        model, network, [picture], options, folder / "state.pt", kind, lambda *_: folder
    )
    trainer.latents.fill(model, [picture], Versions(), lambda done, total: None)
    network.train()
    if options.gradient_checkpointing:
        stack.enter_context(fp16_storage(model.blocks()))
    number = [0]

    def step() -> None:
        number[0] += batch
        with trainer.prepared():
            trainer.step([[Sample(picture, number[0] + n) for n in range(batch)]])

    return step


def peer_encode(networks: CheckpointNetworks) -> Step:
    """diffusers: one picture to latents."""
    pixels = torch.rand(1, 3, SIDE, SIDE) * 2 - 1

    def step() -> None:
        with torch.no_grad():
            _ = networks.vae.encode(pixels).latent_dist.sample() * networks.scale

    return step


def encode(networks: CheckpointNetworks, stack: ExitStack) -> Step:
    """Ours: one picture to latents."""
    pixels = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    stack.enter_context(borrowed_networks(networks, "cpu"))
    model = StandaloneTrainingModel(networks, "cpu")

    def step() -> None:
        with torch.no_grad():
            model.encode_images(pixels)

    return step
