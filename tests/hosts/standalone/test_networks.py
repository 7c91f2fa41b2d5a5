"""The loaded networks against the file, against diffusers' own loader, and at full size."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

from lib_singlelora.embedded.paths import CLIP
from lib_singlelora.errors import CheckpointError
from lib_singlelora.families.parameterization import Parameterization
from lib_singlelora.families.sd1 import SD1
from lib_singlelora.hosts.clip import encode
from lib_singlelora.hosts.standalone.checkpoint_loader import (
    CheckpointNetworks,
    load_networks,
    networks_from,
)
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.hosts.standalone.inspection import CheckpointFile, inspect
from lib_singlelora.hosts.standalone.training_model import targets_of
from lib_singlelora.naming.modules import module_specs
from tests.small_checkpoint import FULL, Size, shapes, tensors, yaml_text

from .transformers_clip import their_text_model

NOISE = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
TIMESTEPS = torch.tensor([10, 900])


def predicted(networks: CheckpointNetworks) -> tuple[torch.Tensor, ...]:
    """Context, the U-Net's output, a decoded picture and its latents."""
    with torch.inference_mode():
        context = encode(
            networks.text, networks.tokenizer, ["a girl, blonde hair", "a hat"], 1, "cpu"
        )
        pixels = networks.vae.decode(NOISE).sample
        return (
            context,
            networks.unet(NOISE, TIMESTEPS, context).sample,
            pixels,
            networks.vae.encode(pixels).latent_dist.mode(),
        )


def edited_yaml(small: Path, folder: Path, edit: dict[str, object]) -> Path:
    """The small checkpoint with other values under model.params."""
    shutil.copytree(small.parent, folder / "copy")
    path = folder / "copy" / small.name
    config = yaml.safe_load(path.with_suffix(".yaml").read_text())
    for dotted, value in edit.items():
        *sections, key = dotted.split(".")
        params = config["model"]["params"]
        for section in sections:
            params = params[section]
        params[key] = value
    path.with_suffix(".yaml").write_text(yaml.safe_dump(config))
    return path


def test_every_tensor_is_in_the_networks_bit_for_bit(small_checkpoint: Path) -> None:
    def content(values: torch.Tensor) -> str:
        return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()

    networks = load_networks(inspect(small_checkpoint))
    loaded = Counter(
        content(p.detach())
        for m in (networks.unet, networks.vae, networks.text)
        for p in m.parameters()
    )
    assert loaded == Counter(
        content(values) for values in safetensors.torch.load_file(small_checkpoint).values()
    )


def test_the_networks_answer_as_those_of_diffusers_own_loader(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    ours = load_networks(inspect(small_checkpoint))
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    (tmp_path / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusionPipeline", **parts})
    )
    ours.unet.save_config(tmp_path / "unet")
    ours.vae.save_config(tmp_path / "vae")
    their_text_model(ours.text).config.save_pretrained(tmp_path / "text_encoder")
    shutil.copytree(CLIP, tmp_path / "tokenizer")
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(
        '{"_class_name": "DDIMScheduler"}'
    )
    pipe = StableDiffusionPipeline.from_single_file(
        str(small_checkpoint), config=str(tmp_path), local_files_only=True, safety_checker=None
    )
    theirs = CheckpointNetworks(
        pipe.unet,
        pipe.vae,
        pipe.text_encoder,
        ours.tokenizer,
        ours.layout,
        ours.alphas_cumprod,
        0,
        0,
        1,
    )
    for our, their in zip(predicted(ours), predicted(theirs), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-4)


def test_a_half_precision_file_gives_its_rounded_values(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_checkpoint.parent, tmp_path / "half")
    path = tmp_path / "half" / small_checkpoint.name
    half = {
        key: values.half() for key, values in safetensors.torch.load_file(small_checkpoint).items()
    }
    safetensors.torch.save_file(half, path)
    networks = load_networks(inspect(path))
    assert {
        p.dtype for m in (networks.unet, networks.vae, networks.text) for p in m.parameters()
    } == {torch.float32}
    assert torch.equal(
        networks.unet.conv_in.weight, half["model.diffusion_model.input_blocks.0.0.weight"].float()
    )


def test_files_moved_together_still_find_the_text_encoders_heads(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    path = edited_yaml(
        small_checkpoint, tmp_path, {"cond_stage_config.params.version": "/gone/clip"}
    )
    assert load_networks(inspect(path)).text.config.num_attention_heads == 2


def test_other_sizes_are_read_off_the_yaml_and_the_tensors(tmp_path: Path) -> None:
    size = Size(
        multipliers=(1, 2, 2, 2),
        heads=2,
        text=64,
        layers=3,
        text_heads=1,
        vae_multipliers=(1, 1, 1, 2),
        vae_blocks=2,
    )
    safetensors.torch.save_file(tensors(1, size), tmp_path / "other.safetensors")
    (tmp_path / "other.yaml").write_text(yaml_text(Path("none"), size))
    networks = load_networks(inspect(tmp_path / "other.safetensors"))
    assert all(bool(torch.isfinite(values).all()) for values in predicted(networks))
    assert networks.text.config.num_hidden_layers == 3 and networks.layout.context == 64


def test_the_yaml_says_prediction_scale_and_schedule(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    path = edited_yaml(
        small_checkpoint,
        tmp_path,
        {"parameterization": "v", "scale_factor": 0.5, "linear_end": "1.0e-2"},
    )
    host = StandaloneHost(path, "cpu")
    with host.open_for_training() as model:
        assert model.prediction == "v_prediction"
        assert float(model.alphas_cumprod[-1]) > 0.005
    assert host.networks.scale == 0.5


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("unet_config.params.model_channels", "wide"),
        ("unet_config.params.num_heads", 5),
        ("unet_config.params.channel_mult", [1, 2]),
        ("unet_config.params.channel_mult", 3),
        ("first_stage_config.params.ddconfig", [1]),
        ("first_stage_config.params.ddconfig.ch", 0),
        ("linear_start", "low"),
    ],
)
def test_a_yaml_that_describes_no_network_is_an_error(
    small_checkpoint: Path, tmp_path: Path, place: str, value: object
) -> None:
    path = edited_yaml(small_checkpoint, tmp_path, {place: value})
    with pytest.raises(CheckpointError, match=r"small\.safetensors.*expected") as caught:
        load_networks(inspect(path))
    assert "\n" not in str(caught.value)


def changed(
    small: Path, folder: Path, gone: str = "", more: dict[str, torch.Tensor] | None = None
) -> Path:
    """The small checkpoint without a tensor, or with one more."""
    path = edited_yaml(small, folder, {})
    kept = safetensors.torch.load_file(path) | (more or {})
    kept.pop(gone, None)
    safetensors.torch.save_file(kept, path)
    return path


TEXT = "cond_stage_model.transformer.text_model."


@pytest.mark.parametrize(
    "gone",
    [
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.middle_block.1.norm.bias",
        "first_stage_model.quant_conv.weight",
        "first_stage_model.encoder.mid.attn_1.q.weight",
        f"{TEXT}embeddings.position_embedding.weight",
        f"{TEXT}embeddings.token_embedding.weight",
        f"{TEXT}encoder.layers.0.mlp.fc1.weight",
        f"{TEXT}final_layer_norm.weight",
    ],
)
def test_no_tensor_may_be_missing(small_checkpoint: Path, tmp_path: Path, gone: str) -> None:
    with pytest.raises(CheckpointError, match=r"found (1 tensors missing|no )") as caught:
        load_networks(inspect(changed(small_checkpoint, tmp_path, gone)))
    assert "expected" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        "model.diffusion_model.input_blocks.10.1.proj_in.weight",
        "first_stage_model.encoder.down.0.attn.0.q.weight",
    ],
)
def test_a_tensor_without_a_place_is_refused(
    small_checkpoint: Path, tmp_path: Path, more: str
) -> None:
    with pytest.raises(CheckpointError, match="without a place"):
        load_networks(inspect(changed(small_checkpoint, tmp_path, more={more: torch.zeros(1)})))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("text.ckpt", b"hello, this is no checkpoint\n" * 20, "broken or truncated"),
        ("empty.pt", b"", "broken or truncated"),
        ("list.safetensors", (2).to_bytes(8, "little") + b"[]", "a header that is a list"),
        ("UPPER.SAFETENSORS", b"text", "no safetensors file"),
    ],
)
def test_bytes_that_are_no_checkpoint_are_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=words) as caught:
        inspect(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def full_size() -> CheckpointNetworks:
    """Stable Diffusion 1.5's networks on meta tensors, from its keys and shapes; no `.yaml`."""
    meta = {key: torch.empty(shape, device="meta") for key, shape in shapes(FULL)}
    file = CheckpointFile(
        Path("full.safetensors"), {}, 512, "recommended", SD1, Parameterization("epsilon")
    )
    return networks_from(file, meta)


def test_a_full_size_checkpoint_needs_no_yaml(full_size: CheckpointNetworks) -> None:
    count = [
        sum(p.numel() for p in m.parameters())
        for m in (full_size.unet, full_size.vae, full_size.text)
    ]
    assert count == [859_520_964, 83_653_863, 123_060_480]  # as published for v1.5
    assert full_size.layout == SD1.layout and full_size.text.config.num_attention_heads == 12


def test_full_size_targets_are_every_module_of_sd1(full_size: CheckpointNetworks) -> None:
    expected = {spec.name: spec.shape for spec in module_specs(SD1.layout) if spec.kind != "norm"}
    assert {name: tuple(module.weight.shape) for name, module in targets_of(full_size)} == expected
