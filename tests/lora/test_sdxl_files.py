"""What is done with LoRA files, on files for SDXL."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from lib_singlelora.errors import CheckpointError, LoraFileError
from lib_singlelora.lora.bake import bake
from lib_singlelora.lora.checkpoints import read_weights
from lib_singlelora.lora.dialects import normalize
from lib_singlelora.lora.files import LoraFile, read_lora, save_lora, write_lora
from lib_singlelora.lora.functional import module_change
from lib_singlelora.lora.merge import merge
from lib_singlelora.lora.resize import resize
from lib_singlelora.lora.summary import summarize
from lib_singlelora.naming.block_weights import PRESETS, parse_block_weights
from lib_singlelora.naming.blocks import SDXL, block_of, is_text
from lib_singlelora.naming.keys import canonical_to_diffusers, canonical_to_kohya, lora_shapes
from lib_singlelora.naming.modules import lora_targets
from tests.tiny_lora import module

# A module of each text encoder, of each block with a transformer that differs, and a convolution
NAMES = {
    "te1.text_model.encoder.layers.0.mlp.fc1": (12, 8),
    "te2.text_model.encoder.layers.31.self_attn.q_proj": (8, 8),
    "te2.text_model.encoder.layers.0.self_attn.v_proj": (8, 8),
    "te2.text_model.encoder.layers.0.mlp.fc2": (8, 12),
    "input_blocks.4.1.transformer_blocks.1.attn2.to_k": (8, 6),
    "middle_block.1.proj_in": (8, 8),
    "output_blocks.0.1.transformer_blocks.9.ff.net.2": (8, 8),
    "output_blocks.1.1.transformer_blocks.0.attn1.to_q": (8, 8),
    "output_blocks.3.0.in_layers.2": (8, 8, 3, 3),
}


def made(folder: Path, algorithm: str = "lora", seed: int = 1) -> LoraFile:
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"{canonical_to_kohya(name, SDXL)}.{part}": tensor
        for name, shape in NAMES.items()
        for part, tensor in module(algorithm, shape, generator).items()
    }
    path = folder / f"{algorithm.replace(' ', '')}-{seed}.safetensors"
    write_lora(path, tensors, {"ss_output_name": "isa"}, "fp32")
    return read_lora(path)


def stem(name: str) -> str:
    return canonical_to_kohya(name, SDXL)


@pytest.mark.parametrize("algorithm", ["lora", "locon", "loha", "lokr", "diff"])
@pytest.mark.parametrize("preset", ["BLORA content", "BLORA style", "OUTD", "MIDD", "ALL0.5"])
def test_a_bake_multiplies_each_block_by_its_weight(
    tmp_path: Path, algorithm: str, preset: str
) -> None:
    lora = made(tmp_path, algorithm)
    weights = parse_block_weights(preset, SDXL)
    save_lora(tmp_path / "baked.safetensors", bake(lora, weights, 0.8, preset))
    baked = read_lora(tmp_path / "baked.safetensors")
    assert baked.layout is SDXL and baked.metadata["ss_baked_preset"] == preset
    for name in NAMES:
        factor = 0.8 * weights[block_of(name, SDXL)]
        if stem(name) not in baked.by_stem:
            assert factor == 0
            continue
        expected = factor * lora.delta(stem(name))
        torch.testing.assert_close(baked.delta(stem(name)), expected, rtol=1e-5, atol=1e-5)


def test_merging_takes_the_mean_of_both_text_encoders_too(tmp_path: Path) -> None:
    one, two = made(tmp_path, "diff"), made(tmp_path, "diff", seed=2)
    merged = merge([one, two]).lora
    for name in NAMES:
        mean = (one.delta(stem(name)) + two.delta(stem(name))) / 2
        torch.testing.assert_close(merged.delta(stem(name)), mean, rtol=1e-5, atol=1e-5)


def test_resizing_keeps_the_nearest_of_a_smaller_rank(tmp_path: Path) -> None:
    lora = made(tmp_path)
    resized = resize(lora, rank=2)
    assert resized.ranks == (2, 2) and set(resized.modules) == set(NAMES)
    name = "te2.text_model.encoder.layers.0.self_attn.v_proj"
    values = torch.linalg.svdvals(lora.delta(stem(name)))
    wanted = float(values[2:].square().sum().sqrt() / values.square().sum().sqrt())
    assert resized.modules[name].error == pytest.approx(wanted, rel=1e-3)


def test_the_summary_tells_the_blocks(tmp_path: Path) -> None:
    summary = summarize(made(tmp_path))
    assert summary.architecture == "sdxl" and summary.modules == len(NAMES)
    assert {label: block.modules for label, block in summary.blocks.items()} == {
        "BASE": 4,
        "IN04": 1,
        "M00": 1,
        "OUT00": 1,
        "OUT01": 1,
        "OUT03": 1,
    }


# Checkpoints of SDXL and SD 2, whose text encoders are open_clip's
# -------------------------------------------------------------------------------------------------

OPEN_CLIP = {
    "self_attn.q_proj": ("attn.in_proj_weight", 0),
    "self_attn.k_proj": ("attn.in_proj_weight", 1),
    "self_attn.v_proj": ("attn.in_proj_weight", 2),
    "self_attn.out_proj": ("attn.out_proj.weight", None),
    "mlp.fc1": ("mlp.c_fc.weight", None),
    "mlp.fc2": ("mlp.c_proj.weight", None),
}


def checkpoint(folder: Path, weights: dict[str, Tensor], open_clip: str, prefix: str) -> Path:
    """A file with these weights as the family's checkpoints hold them."""
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name.startswith("te1."):
            key = f"conditioner.embedders.0.transformer.{name[4:]}.weight"
        elif is_text(name):
            layer, part = name.removeprefix(f"{prefix}text_model.encoder.layers.").split(".", 1)
            own, third = OPEN_CLIP[part]
            key = f"{open_clip}transformer.resblocks.{layer}.{own}"
            if third is not None:
                packed = tensors.setdefault(key, torch.zeros(3 * len(weight), weight.shape[1]))
                packed.chunk(3)[third].copy_(weight)
                continue
        else:
            key = f"model.diffusion_model.{name}.weight"
        tensors[key] = weight
    path = folder / "checkpoint.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


def test_weights_of_sdxls_text_encoders_are_found(tmp_path: Path) -> None:
    weights = {name: torch.randn(shape) for name, shape in NAMES.items()}
    path = checkpoint(tmp_path, weights, "conditioner.embedders.1.model.", "te2.")
    found = read_weights(path, NAMES)
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())
    with pytest.raises(CheckpointError, match=r"no weight of te2\.text_model\.encoder\.layers\.5"):
        read_weights(path, ["te2.text_model.encoder.layers.5.mlp.fc1"])


def test_weights_of_stable_diffusion_2s_text_encoder_are_found(tmp_path: Path) -> None:
    names = [f"text_model.encoder.layers.3.{part}" for part in OPEN_CLIP]
    weights = {name: torch.randn(4, 4) for name in names}
    path = checkpoint(tmp_path, weights, "cond_stage_model.model.", "")
    found = read_weights(path, names)
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


def test_a_dora_of_sdxl_is_baked_by_the_checkpoints_weights(tmp_path: Path) -> None:
    lora = made(tmp_path)
    tensors = {
        f"{stem(name)}.dora_scale": torch.rand(1, shape[1], *(1 for _ in shape[2:])) + 0.5
        for name, shape in NAMES.items()
    }
    write_lora(tmp_path / "dora.safetensors", {**lora.tensors, **tensors}, {}, "fp32")
    dora = read_lora(tmp_path / "dora.safetensors")
    weights = {name: torch.randn(shape) for name, shape in NAMES.items()}
    path = checkpoint(tmp_path, weights, "conditioner.embedders.1.model.", "te2.")
    half = parse_block_weights("ALL0.5", SDXL)
    with pytest.raises(LoraFileError, match="name the checkpoint"):
        bake(dora, half)
    baked = bake(dora, half, checkpoint=read_weights(path, NAMES))
    for name, weight in weights.items():
        whole, part = (module_change(each.modules[name], weight) for each in (dora, baked))
        torch.testing.assert_close(part, whole / 2, rtol=1e-4, atol=1e-4)


# Other trainers' names for every module of SDXL
# -------------------------------------------------------------------------------------------------


def peft(name: str) -> tuple[str, str]:
    for prefix, network in (("te1.", "text_encoder."), ("te2.", "text_encoder_2.")):
        if name.startswith(prefix):
            return f"{network}{name[4:]}.lora_A.weight", f"{network}{name[4:]}.lora_B.weight"
    dotted = f"unet.{canonical_to_diffusers(name, SDXL)}"
    return f"{dotted}.lora_A.weight", f"{dotted}.lora_B.weight"


def older_diffusers(name: str) -> tuple[str, str]:
    down, up = peft(name)
    linear = ".lora_linear_layer"
    return (down.replace(".lora_A", f"{linear}.down"), up.replace(".lora_B", f"{linear}.up"))


def ldm_stems(name: str) -> tuple[str, str]:
    return f"{stem(name)}.lora_down.weight", f"{stem(name)}.lora_up.weight"


def diffusers_stems(name: str) -> tuple[str, str]:
    own = stem(name)
    if not is_text(name):
        own = "lora_unet_" + canonical_to_diffusers(name, SDXL).replace(".", "_")
    return f"{own}.lora_down.weight", f"{own}.lora_up.weight"


def comfy(name: str) -> tuple[str, str]:
    for prefix, network in (("te1.", "clip_l"), ("te2.", "clip_g")):
        if name.startswith(prefix):
            own = f"text_encoders.{network}.transformer.{name[4:]}"
            return f"{own}.lora_A.weight", f"{own}.lora_B.weight"
    return f"diffusion_model.{name}.lora_A.weight", f"diffusion_model.{name}.lora_B.weight"


@cache
def full_size() -> dict[str, tuple[int, ...]]:
    """(out, in, …) of every module that kohya puts a LoRA on, convolutions too."""
    return {spec.name: spec.shape for spec in lora_targets(SDXL, conv=True)}


@pytest.mark.parametrize("dialect", [peft, older_diffusers, ldm_stems, diffusers_stems, comfy])
def test_every_module_is_known_by_every_trainers_name(
    dialect: Callable[[str], tuple[str, str]],
) -> None:
    raw: dict[str, Tensor] = {}
    zero = torch.zeros(())
    for name, shape in full_size().items():
        down, up = dialect(name)
        raw[down] = zero.expand(1, *shape[1:])
        raw[up] = zero.expand(shape[0], 1, *(1 for _ in shape[2:]))
    found = normalize("isa.safetensors", raw, {})
    assert found.layout is SDXL
    expected = lora_shapes(SDXL, 1, 1)
    assert {key: tuple(tensor.shape) for key, tensor in found.tensors.items()} == {
        key: shape for key, shape in expected.items() if not key.endswith(".alpha")
    }


@pytest.mark.parametrize("preset", ["BLORA content", "BLORA style", "OUTD"])
def test_a_file_of_few_blocks_is_known_as_sdxls(preset: str) -> None:
    """B-LoRA's hold one block, and no text encoder."""
    weights = parse_block_weights(preset, SDXL, PRESETS)
    kept = {
        name: shape
        for name, shape in full_size().items()
        if not is_text(name) and weights[block_of(name, SDXL)] and ".attn1." in name
    }
    for dialect in (ldm_stems, diffusers_stems, peft):
        raw = {}
        for name in kept:
            down, up = dialect(name)
            raw[down], raw[up] = torch.zeros(1, 8), torch.zeros(8, 1)
        assert normalize("isa.safetensors", raw, {}).layout is SDXL
