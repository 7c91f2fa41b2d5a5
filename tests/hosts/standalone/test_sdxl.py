"""SDXL standalone, against diffusers' own loader, pipeline, schedules and LoRA loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from lib_singlelora.errors import CheckpointError, LoraKeyError
from lib_singlelora.host import Conditioning, ImageRequest, LoraUse
from lib_singlelora.hosts.size_vector import size_vector
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape, attached
from lib_singlelora.settings.schema import Settings
from lib_singlelora.training.batch import TrainingBatch
from lib_singlelora.training.objective import Objective
from tests.hosts.standalone.diffusers_sdxl import load_pipeline
from tests.small_sdxl import build_small_sdxl, yaml_text

pytest.importorskip("peft")

PROMPT = "isabella, girl, red hat"
SIZES = torch.tensor([[300.0, 200.0, 8.0, 0.0, 64.0, 64.0]])
KINDS = {"epsilon": {}, "v_prediction": {"rescale_betas_zero_snr": True}}


class Kind:
    """A small SDXL in our host and in diffusers.  name: what it predicts."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.file = build_small_sdxl(folder, name, name)
        self.host = StandaloneHost(self.file, "cpu")
        options = {**KINDS[name], "prediction_type": name}
        self.pipe: Any = load_pipeline(self.file, folder / f"{name}-config", **options)


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    return Kind(request.param, tmp_path_factory.mktemp("sdxl"))


def theirs(pipe: Any, prompt: str, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """diffusers' prediction with SIZES."""
    context, _, pooled, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)
    return pipe.unet(
        noisy, timesteps, context, added_cond_kwargs={"text_embeds": pooled, "time_ids": SIZES}
    ).sample


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


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
    noisy = drawn((1, 4, 8, 8), 0)
    timesteps = torch.tensor([500])
    with kind.host.open_for_training() as model:
        assert model.prediction == kind.name
        texts = model.encode_prompts([PROMPT], 2)  # clip skip changes nothing
        ours = model.predict(noisy, timesteps, Conditioning(texts.context, texts.pooled, SIZES))
        pixels = model.decode_latents(noisy)
        alphas = model.alphas_cumprod
    context, _, pooled, _ = kind.pipe.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    torch.testing.assert_close(texts.context, context, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(texts.pooled, pooled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        ours, theirs(kind.pipe, PROMPT, noisy, timesteps), rtol=1e-5, atol=1e-5
    )
    decoded = kind.pipe.vae.decode(noisy / 0.13025).sample.clamp(-1, 1)
    torch.testing.assert_close(pixels, decoded, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alphas, kind.pipe.scheduler.alphas_cumprod, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_sizes_change_the_prediction_and_default_to_the_latents_own(kind: Kind) -> None:
    noisy = drawn((1, 4, 8, 8), 0)
    timesteps = torch.tensor([500])
    with kind.host.open_for_training() as model:
        texts = model.encode_prompts([PROMPT], 1)
        whole = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
        found = [
            model.predict(noisy, timesteps, Conditioning(texts.context, texts.pooled, sizes))
            for sizes in (None, whole, SIZES)
        ]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[1], found[2])
    vector = size_vector(Conditioning(texts.context, texts.pooled, SIZES), noisy)
    embedded = kind.pipe.unet.add_time_proj(SIZES.flatten()).reshape(1, -1)
    torch.testing.assert_close(vector[:, texts.pooled.shape[1] :], embedded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", [False, True], ids=["U-Net", "U-Net and text encoders"])
def test_the_loss_is_diffusers_own(kind: Kind, text: bool, tmp_path: Path) -> None:
    """Ours with the LoRA attached; theirs with its file loaded by `load_lora_weights`."""
    from diffusers import DDPMScheduler

    network = trained_file(kind.host, tmp_path / "ours.safetensors", text)
    latents, noise = drawn((2, 4, 8, 8), 1), drawn((2, 4, 8, 8), 2)
    timesteps = torch.tensor([40, 999])
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
        SIZES.repeat(2, 1),
    )
    with kind.host.open_for_training() as model:
        network.eval()
        objective = Objective(model, network, options)
        with attached(network, model.targets()):
            ours = objective.loss(batch)
            ours.backward()
        gradients = [
            (name, float(branch.up.grad.norm()))
            for name, branch in network.items()
            if branch.up.grad is not None
        ]
    assert all(value > 0 for _, value in gradients)
    assert any(name.startswith("te2.") for name, _ in gradients) == text
    pipe = kind.pipe
    schedule = DDPMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    noisy = schedule.add_noise(latents, noise, timesteps)
    is_v = kind.name == "v_prediction"
    wanted = schedule.get_velocity(latents, noise, timesteps) if is_v else noise
    pipe.load_lora_weights(str(tmp_path), weight_name="ours.safetensors", local_files_only=True)
    try:
        with torch.no_grad():
            found = torch.cat(
                [
                    theirs(pipe, PROMPT, noisy[row : row + 1], timesteps[row : row + 1])
                    for row in range(2)
                ]
            )
    finally:
        pipe.unload_lora_weights()
    expected = (found - wanted).square().mean()
    plain = torch.cat(
        [theirs(pipe, PROMPT, noisy[row : row + 1], timesteps[row : row + 1]) for row in range(2)]
    )
    assert float((found - plain).abs().max().detach()) > 0.01
    assert float(ours.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_a_picture_with_the_lora_is_the_one_that_diffusers_draws(
    kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "ours.safetensors"
    trained_file(kind.host, path, True)
    request = ImageRequest(
        PROMPT, (7,), 64, 64, sampler="DDIM", steps=4, cfg_scale=5.0, loras=(LoraUse(path),)
    )
    ours = np.asarray(kind.host.generate(request, Job())[0].image, np.float32)
    bare = np.asarray(
        kind.host.generate(ImageRequest(**{**vars(request), "loras": ()}), Job())[0].image,
        np.float32,
    )
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
    assert np.abs(ours - bare).max() > 8
    assert np.abs(ours - picture * 255).max() <= 1


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> StandaloneHost:
    return StandaloneHost(build_small_sdxl(tmp_path_factory.mktemp("alone")), "cpu")


def test_what_was_found_is_said(kind: Kind) -> None:
    words = kind.host.checkpoint.description
    assert words.startswith("SDXL, ")
    assert ("zero terminal SNR" in words) == (kind.name == "v_prediction")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("context_dim: 320", "context_dim: 768", "context_dim"),
        ("adm_in_channels: 1792", "adm_in_channels: 2816", "adm_in_channels"),
        ("model_channels: 32", "model_channels: 64", "another shape"),
        ("channel_mult: [1, 2, 4]", "channel_mult: [1, 2, 4, 4]", "3 levels"),
        ("transformer_depth: [1, 1, 2]", "transformer_depth: [1, 2, 2]", "missing"),
        ("transformer_depth: [1, 1, 2]", "transformer_depth: [1, 1, 1]", "without a place"),
    ],
)
def test_a_yaml_that_does_not_fit_is_one_clear_line(
    host: StandaloneHost, tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "xl.safetensors"
    path.symlink_to(host.checkpoint.path)
    text = yaml_text()
    assert old in text
    path.with_suffix(".yaml").write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=words) as caught:
        _ = StandaloneHost(path, "cpu").networks
    assert "expected" in str(caught.value)


def test_loras_of_the_other_family_are_refused(
    host: StandaloneHost, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    files = [tmp_path / "xl.safetensors", tmp_path / "one.safetensors"]
    for each, path in zip((host, standalone_host), files, strict=True):
        trained_file(each, path, True)
    for each, path in ((standalone_host, files[0]), (host, files[1])):
        request = ImageRequest("a girl", (1,), 64, 64, steps=1, loras=(LoraUse(path),))
        with pytest.raises(LoraKeyError, match="expected one for"):
            each.generate(request, Job())


def test_an_epsilon_yaml_beside_a_file_that_says_v_is_told(tmp_path: Path) -> None:
    file = build_small_sdxl(tmp_path, "v", "v_prediction", "epsilon")
    info = StandaloneHost(file, "cpu").checkpoint
    assert info.prediction == "v_prediction"
    assert "its key v_pred; the epsilon of its .yaml is not followed" in info.description


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("first_stage_model.", "no VAE"),
        ("first_stage_model.decoder.mid.", "missing.*VAE.*download it again"),
        ("conditioner.embedders.1.model.text_projection", "no text_projection"),
    ],
)
def test_a_part_that_is_missing_is_one_clear_line(
    host: StandaloneHost, tmp_path: Path, lacking: str, words: str
) -> None:
    path = tmp_path / "xl.safetensors"
    tensors = safetensors.torch.load_file(host.checkpoint.path)
    kept = {key: value for key, value in tensors.items() if not key.startswith(lacking)}
    safetensors.torch.save_file(kept, path)
    path.with_suffix(".yaml").write_text(yaml_text())
    with pytest.raises(CheckpointError, match=words) as caught:
        _ = StandaloneHost(path, "cpu").networks
    assert "expected" in str(caught.value) and "\n" not in str(caught.value)
