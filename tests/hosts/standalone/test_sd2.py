"""Stable Diffusion 2 standalone, against diffusers' own loader and classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.embedded.paths import CLIP
from lib_singlelora.host import ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape, attached
from lib_singlelora.settings.schema import Settings
from lib_singlelora.training.batch import TrainingBatch
from lib_singlelora.training.objective import Objective
from tests.hosts.standalone.diffusers_sdxl import SCHEDULER
from tests.small_sd2 import HEAD_CHANNELS, LAYERS, LAYOUT, SIZE, WIDTH, build_small_sd2

pytest.importorskip("peft")

PROMPT = "isabella, girl, red hat"
WIDTHS = [LAYOUT.channels * multiplier for multiplier in LAYOUT.multipliers]
CONFIGS: dict[str, dict[str, Any]] = {
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "block_out_channels": WIDTHS,
        "attention_head_dim": [width // HEAD_CHANNELS for width in WIDTHS],
        "cross_attention_dim": WIDTH,
        "use_linear_projection": True,
        "layers_per_block": 2,
        "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
        "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
        "in_channels": 4,
        "out_channels": 4,
        "sample_size": 8,
    },
    "vae": {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [SIZE.vae * multiplier for multiplier in SIZE.vae_multipliers],
        "down_block_types": ["DownEncoderBlock2D"] * len(SIZE.vae_multipliers),
        "up_block_types": ["UpDecoderBlock2D"] * len(SIZE.vae_multipliers),
        "layers_per_block": SIZE.vae_blocks,
        "latent_channels": 4,
    },
    "text_encoder": {
        "architectures": ["CLIPTextModel"],
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS - 1,
        "num_attention_heads": WIDTH // 64,
        "projection_dim": WIDTH,
        "hidden_act": "gelu",
        "vocab_size": 49408,
    },
}


def load_pipeline(checkpoint: Path, folder: Path, prediction: str) -> Any:
    """A StableDiffusionPipeline in fp32."""
    from diffusers import StableDiffusionPipeline

    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    scheduler = {**SCHEDULER, "prediction_type": prediction}
    for name, config in CONFIGS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(config))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    index = {"_class_name": "StableDiffusionPipeline", **parts}
    (folder / "model_index.json").write_text(json.dumps(index))
    shutil.copytree(CLIP, folder / "tokenizer")
    # Its pad token is "!", whose number is 0
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / "tokenizer" / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "!"}))
    pipe = StableDiffusionPipeline.from_single_file(
        str(checkpoint), config=str(folder), local_files_only=True, safety_checker=None
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Kind:
    """A small SD 2 in our host and in diffusers.  name: what it predicts."""

    def __init__(self, name: Any, folder: Path) -> None:
        self.name = name
        file = build_small_sd2(folder, name, name)
        self.host = StandaloneHost(file, "cpu")
        self.pipe = load_pipeline(file, folder / f"{name}-config", name)


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    return Kind(request.param, tmp_path_factory.mktemp("sd2"))


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def theirs(pipe: Any, noisy: Tensor, timesteps: Tensor) -> Tensor:
    context, _ = pipe.encode_prompt(PROMPT, "cpu", 1, do_classifier_free_guidance=False)
    predicted: Tensor = pipe.unet(noisy, timesteps, context.expand(len(noisy), -1, -1)).sample
    return predicted


def trained_file(host: StandaloneHost, path: Path, text: bool) -> LoraNetwork:
    """A LoRA with an effect, and its file."""
    with host.open_for_training() as model, torch.no_grad():
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 2.0), {}, text, 1)
        generator = torch.Generator().manual_seed(3)
        for _, branch in network.items():
            nn.init.normal_(branch.up, std=0.1, generator=generator)
        write_lora(path, network.kohya_tensors(), {}, "fp32")
    return network


@torch.no_grad()
def test_the_networks_answer_as_diffusers_do(kind: Kind) -> None:
    assert kind.host.checkpoint.family.name == "sd2"
    noisy, timesteps = drawn((1, 4, 8, 8), 0), torch.tensor([500])
    with kind.host.open_for_training() as model:
        assert model.prediction == kind.name
        texts = model.encode_prompts([PROMPT], 2)  # clip skip changes nothing
        ours = model.predict(noisy, timesteps, texts)
        pixels = model.decode_latents(noisy)
    context, _ = kind.pipe.encode_prompt(PROMPT, "cpu", 1, do_classifier_free_guidance=False)
    decoded = kind.pipe.vae.decode(noisy / 0.18215).sample.clamp(-1, 1)
    torch.testing.assert_close(texts.context, context, rtol=1e-5, atol=1e-5)
    expected = theirs(kind.pipe, noisy, timesteps)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pixels, decoded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", [False, True], ids=["U-Net", "U-Net and text encoder"])
def test_the_loss_is_diffusers_own(kind: Kind, text: bool, tmp_path: Path) -> None:
    """Ours with the LoRA attached; theirs with its file loaded by `load_lora_weights`."""
    from diffusers import DDPMScheduler

    network = trained_file(kind.host, tmp_path / "ours.safetensors", text)
    latents, noise = drawn((2, 4, 8, 8), 1), drawn((2, 4, 8, 8), 2)
    timesteps = torch.tensor([40, 900])
    options = Settings.from_dict(
        {"training.text_encoder_lr": 1e-4 if text else 0.0, "training.min_snr_gamma": 0}
    ).training
    batch = TrainingBatch(
        latents,
        noise,
        timesteps,
        torch.ones(2),
        torch.ones(2, 1, 8, 8),
        [PROMPT, PROMPT],
        [],
        torch.zeros(2, 6),
    )
    with kind.host.open_for_training() as model:
        network.eval()
        with attached(network, model.targets()):
            ours = Objective(model, network, options).loss(batch)
            ours.backward()
        trained = [
            name
            for name, branch in network.items()
            if branch.up.grad is not None and float(branch.up.grad.norm())
        ]
    assert len(trained) == len(list(network.items()))
    assert any(name.startswith("text_model.") for name in trained) == text
    pipe = kind.pipe
    schedule = DDPMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    noisy = schedule.add_noise(latents, noise, timesteps)
    is_v = kind.name == "v_prediction"
    wanted = schedule.get_velocity(latents, noise, timesteps) if is_v else noise
    with torch.no_grad():
        plain = theirs(pipe, noisy, timesteps)
        pipe.load_lora_weights(str(tmp_path), weight_name="ours.safetensors", local_files_only=True)
        try:
            found = theirs(pipe, noisy, timesteps)
        finally:
            pipe.unload_lora_weights()
    assert float((found - plain).abs().max()) > 0.01
    expected = (found - wanted).square().mean()
    assert float(ours.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_a_picture_with_the_lora_is_the_one_that_diffusers_draws(
    kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "ours.safetensors"
    trained_file(kind.host, path, True)
    request = ImageRequest(PROMPT, (7,), 64, 64, sampler="DDIM", steps=4, cfg_scale=5.0)
    pictures = [
        np.asarray(kind.host.generate(each, Job())[0].image, np.float32)
        for each in (request, ImageRequest(**{**vars(request), "loras": (LoraUse(path),)}))
    ]
    pipe = kind.pipe
    pipe.scheduler.set_timesteps(4)
    # Ours begins, as the WebUI does, with the noise of the first timestep, not with all of it
    first = pipe.scheduler.alphas_cumprod[pipe.scheduler.timesteps[0]]
    pipe.load_lora_weights(str(tmp_path), weight_name=path.name, local_files_only=True)
    try:
        picture = pipe(
            PROMPT,
            latents=drawn((1, 4, 8, 8), 7) * (1 - first).sqrt(),
            height=64,
            width=64,
            num_inference_steps=4,
            guidance_scale=5.0,
            output_type="np",
        ).images[0]
    finally:
        pipe.unload_lora_weights()
    assert np.abs(pictures[0] - pictures[1]).max() > 8
    assert np.abs(pictures[1] - picture * 255).max() <= 1


@pytest.mark.parametrize(("bias", "expected"), [(0.0, "epsilon"), (-3.0, "v_prediction")])
def test_a_file_that_does_not_say_what_it_predicts_is_measured(
    kind: Kind, bias: float, expected: str
) -> None:
    from lib_singlelora.hosts.standalone.checkpoint_loader import measured_parameterization

    networks = kind.host.networks
    last = networks.unet.conv_out.bias
    before = last.clone()
    try:
        last += bias
        found = measured_parameterization(networks.unet, networks.layout)
    finally:
        last.copy_(before)
    assert found.prediction == expected and "measured" in found.source
