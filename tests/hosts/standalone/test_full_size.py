"""A LoRA of the full-size SD 1.5 networks has the keys and shapes that sd-scripts writes.

The networks are on meta tensors, without memory.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from lib_singlelora.hosts.standalone.checkpoint_loader import CheckpointNetworks
from lib_singlelora.hosts.standalone.training_model import targets_of
from lib_singlelora.lora.network import LoraNetwork, LoraShape
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.naming.keys import canonical_to_kohya

GOLDEN = json.loads(
    (Path(__file__).parent.parent.parent / "golden" / "kohya_sd1_keys.json").read_text(
        encoding="utf-8"
    )
)


def full_size() -> CheckpointNetworks:
    """The networks of SD 1.5 as diffusers and transformers build them, without memory."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        config = CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
        )
        text = CLIPTextModel(config)
    return CheckpointNetworks(unet, None, text, None, SD1, torch.ones(1), 0.00085, 0.012, 0.18215)


@pytest.mark.parametrize(
    ("table", "conv_rank"), [("sd1_lora_rank16", 0), ("sd1_locon_rank16_conv8", 8)]
)
def test_every_key_and_shape_is_the_golden_one(table: str, conv_rank: int) -> None:
    networks = full_size()
    network = LoraNetwork(
        targets_of(networks), SD1, LoraShape(16, 16, conv_rank), {}, text_encoder=True, seed=1
    )
    shapes: dict[str, list[int]] = {}
    for name, branch in network.items():
        stem = canonical_to_kohya(name, SD1)
        shapes[f"{stem}.alpha"] = []
        shapes[f"{stem}.lora_down.weight"] = list(branch.down.shape)
        shapes[f"{stem}.lora_up.weight"] = list(branch.up.shape)
    assert shapes == GOLDEN[table]
