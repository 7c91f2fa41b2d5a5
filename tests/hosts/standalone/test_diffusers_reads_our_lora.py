"""Our LoRA files in diffusers' own loader: the same effect as in our host."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape, attached

from .transformers_clip import their_text_model, their_tokenizer

pytest.importorskip("peft")


def test_load_lora_weights_has_the_effect_of_our_branches(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([500])
    with standalone_host.open_for_training() as model, torch.no_grad():
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 2.0), {}, True, 1)
        for _, branch in network.items():
            nn.init.normal_(branch.up, std=0.2, generator=torch.Generator().manual_seed(3))
        write_lora(tmp_path / "ours.safetensors", network.kohya_tensors(), {}, "fp32")
        plain = model.predict(noise, timesteps, model.encode_prompts(["a girl"], 1))
        with attached(network, model.targets()):
            conditioning = model.encode_prompts(["a girl"], 1)
            ours = model.predict(noise, timesteps, conditioning)
    networks = standalone_host.networks
    pipe = StableDiffusionPipeline(
        vae=networks.vae,
        text_encoder=their_text_model(networks.text),
        tokenizer=their_tokenizer(),
        unet=copy.deepcopy(networks.unet),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.load_lora_weights(str(tmp_path), weight_name="ours.safetensors", local_files_only=True)
    with torch.no_grad():
        tokens = pipe.tokenizer(
            "a girl", padding="max_length", max_length=77, return_tensors="pt"
        ).input_ids
        context = pipe.text_encoder(tokens)[0]
        theirs = pipe.unet(noise, timesteps, context).sample
    torch.testing.assert_close(context, conditioning.context, rtol=1e-3, atol=1e-3)
    assert float((ours - plain).abs().max()) > 0.01
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)
