"""Baking: a baked LoRA does what the original does with those block weights at that strength."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from lib_singlelora.errors import CheckpointError, LoraFileError
from lib_singlelora.lora.bake import bake
from lib_singlelora.lora.checkpoints import read_weights
from lib_singlelora.lora.files import LoraFile, read_lora, save_lora, write_lora
from lib_singlelora.lora.functional import natural_delta
from lib_singlelora.lora.history import history_of
from lib_singlelora.naming.block_weights import BlockWeights, parse_block_weights
from lib_singlelora.naming.blocks import SD1, block_of
from tests.tiny_lora import ALGORITHMS, STEMS, made, tensors

# A factor for every block that the tiny LoRAs lie in: none is 0 or 1.
UNEVEN = parse_block_weights("0.5,1,0.25,1,1,1,1,0.3,1,0.7,1,1,1,1,1,0.2,1", SD1)
STRENGTH = 0.8


def effect(parts: Mapping[str, Tensor], weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """What the WebUI adds to a weight and to a bias at strength 1, in fp64:
    extensions-builtin/Lora/network.py.
    """
    change = natural_delta(parts).double().reshape(weight.shape)
    if "dora_scale" in parts:
        merged = change + weight
        norm = merged.transpose(0, 1).reshape(merged.shape[1], -1).norm(dim=1, keepdim=True)
        norm = norm.reshape(merged.shape[1], *[1] * (weight.dim() - 1)).transpose(0, 1)
        change = merged * (parts["dora_scale"].double() / norm) - weight
    return change, parts["diff_b"].double() if "diff_b" in parts else None


def weights_of(lora: LoraFile) -> dict[str, Tensor]:
    """A random checkpoint's weights, fp64."""
    generator = torch.Generator().manual_seed(9)
    shapes = {name: STEMS[stem] for name, stem in zip(lora.modules, lora.by_stem, strict=True)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float32).double()
        for name, shape in shapes.items()
    }


def assert_same_effect(
    original: LoraFile,
    baked: LoraFile,
    weights: BlockWeights,
    strength: float,
    later: float = 1.0,
    rtol: float = 1e-5,
) -> None:
    """At a later strength too.  Tolerance: fp32 rounding of the largest change."""
    assert baked.modules.keys() <= original.modules.keys()
    for name, weight in weights_of(original).items():
        factor = weights[block_of(name, SD1)] * strength
        wanted = effect(original.modules[name], weight)
        found = (
            effect(baked.modules[name], weight)
            if name in baked.modules
            else (torch.zeros_like(weight), None)
        )
        for one, other in zip(wanted, found, strict=True):
            if one is not None and other is not None:
                scale = float(one.abs().max())
                torch.testing.assert_close(
                    other * later, one * factor * later, rtol=0, atol=rtol * scale
                )
        if factor and wanted[1] is not None:
            assert found[1] is not None, "the bias's change is lost"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_baked_equals_the_original_with_those_weights(tmp_path: Path, algorithm: str) -> None:
    lora = made(tmp_path, algorithm)
    save_lora(tmp_path / "b.safetensors", bake(lora, UNEVEN, STRENGTH))
    assert_same_effect(
        lora, read_lora(tmp_path / "b.safetensors"), UNEVEN, STRENGTH, later=0.6, rtol=5e-7
    )


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_baking_in_half_precision_rounds_nothing(tmp_path: Path, precision: str) -> None:
    lora = made(tmp_path, precision=precision)
    save_lora(tmp_path / "b.safetensors", bake(lora, parse_block_weights("ALL", SD1), 0.3))
    baked = read_lora(tmp_path / "b.safetensors")
    for key, tensor in lora.tensors.items():
        factor = 0.3 if key.endswith("lora_up.weight") else 1
        assert torch.equal(baked.tensors[key].float(), tensor.float() * factor)


def test_a_block_at_zero_is_dropped_and_the_rest_is_bit_for_bit(tmp_path: Path) -> None:
    lora = made(tmp_path)
    baked = bake(lora, parse_block_weights("OUTD", SD1), 1.0)
    kept = {key.partition(".")[0] for key in baked.tensors}
    assert kept == {
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k",
    }
    assert all(torch.equal(baked.tensors[key], lora.tensors[key]) for key in baked.tensors)


@pytest.mark.parametrize("algorithm", ["lora", "lokr halves", "diff", "dora"])
def test_a_preset_of_zeros_bakes_to_a_file_that_does_nothing(
    tmp_path: Path, algorithm: str
) -> None:
    lora = dora(tmp_path) if algorithm == "dora" else made(tmp_path, algorithm)
    save_lora(tmp_path / "b.safetensors", bake(lora, parse_block_weights("NONE", SD1)))
    ((name, parts),) = read_lora(tmp_path / "b.safetensors").modules.items()
    change, bias = effect(parts, weights_of(lora)[name])
    assert float(change.abs().max()) == 0 and (bias is None or float(bias.abs().max()) == 0)


def test_a_strength_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match="strength: found nan, expected a number"):
        bake(made(tmp_path), UNEVEN, float("nan"))


# DoRA
# -------------------------------------------------------------------------------------------------


def dora(folder: Path, algorithm: str = "lora", axis: int = 1) -> LoraFile:
    """A DoRA whose magnitudes differ from the norms by up to a half; axis 1 as the WebUI reads it,
    0 LyCORIS' other kind.
    """
    generator = torch.Generator().manual_seed(5)
    own = tensors(algorithm)
    for stem, shape in STEMS.items():
        sizes = [1] * len(shape)
        sizes[axis] = shape[axis]
        own[f"{stem}.dora_scale"] = torch.rand(sizes, generator=generator) * 3 + 2
    write_lora(folder / "dora.safetensors", own, {"ss_output_name": "isa"}, "fp32")
    return read_lora(folder / "dora.safetensors")


@pytest.mark.parametrize("algorithm", ["lora", "locon", "loha", "lokr", "diff"])
def test_a_dora_bakes_exactly_with_the_checkpoints_weights(tmp_path: Path, algorithm: str) -> None:
    lora = dora(tmp_path, algorithm)
    save_lora(tmp_path / "b.safetensors", bake(lora, UNEVEN, STRENGTH, checkpoint=weights_of(lora)))
    assert_same_effect(
        lora, read_lora(tmp_path / "b.safetensors"), UNEVEN, STRENGTH, later=0.6, rtol=5e-6
    )


@pytest.mark.parametrize("strength", [-0.7, 1.8])
def test_a_dora_bakes_beyond_zero_and_one(tmp_path: Path, strength: float) -> None:
    lora = dora(tmp_path)
    everywhere = parse_block_weights("ALL", SD1)
    baked = bake(lora, everywhere, strength, checkpoint=weights_of(lora))
    assert_same_effect(lora, baked, everywhere, strength, rtol=5e-6)


def test_a_baked_dora_stays_a_small_dora(tmp_path: Path) -> None:
    lora = dora(tmp_path)
    baked = bake(lora, UNEVEN, STRENGTH, checkpoint=weights_of(lora))
    assert [name for name, parts in baked.modules.items() if "dora_scale" in parts] == list(
        lora.modules
    )
    assert {key: tensor.shape for key, tensor in baked.tensors.items()} == {
        key: t.shape for key, t in lora.tensors.items()
    }


def test_where_the_division_would_lose_digits_a_dora_becomes_a_diff(tmp_path: Path) -> None:
    lora = dora(tmp_path)
    own = weights_of(lora)
    stem = next(iter(STEMS))
    name = next(iter(lora.modules))
    norm = (own[name] + natural_delta(lora.modules[name]).double()).norm(dim=0, keepdim=True)
    # A = 1 - 2 + 2 / 2 = 0
    lora = LoraFile(lora.name, SD1, {**lora.tensors, f"{stem}.dora_scale": (norm / 2).float()}, {})
    everywhere = parse_block_weights("ALL", SD1)
    baked = bake(lora, everywhere, 2.0, checkpoint=own)
    assert "diff" in baked.modules[name]
    assert_same_effect(lora, baked, everywhere, 2.0, rtol=5e-6)


def test_a_dora_bakes_whole_blocks_without_a_checkpoint(tmp_path: Path) -> None:
    lora = dora(tmp_path)
    outd = parse_block_weights("OUTD", SD1)
    baked = bake(lora, outd)
    assert len(baked.modules) == 2
    assert_same_effect(lora, baked, outd, 1.0, rtol=1e-12)


def test_a_dora_with_a_part_of_a_block_asks_for_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        LoraFileError,
        match=r"dora\.safetensors: found a DoRA and a factor of 0\.5 for BASE, expected 0 or 1",
    ):
        bake(dora(tmp_path), UNEVEN)


@pytest.mark.parametrize("factor", [1.0, 0.6])
def test_magnitudes_of_the_outputs_become_differences_that_every_host_draws(
    tmp_path: Path, factor: float
) -> None:
    lora = dora(tmp_path, axis=0)  # two of its modules are square, where both kinds have as many
    everywhere = parse_block_weights("ALL", SD1)
    own = weights_of(lora)
    with pytest.raises(LoraFileError, match=r"one magnitude an output.*--checkpoint"):
        bake(lora, everywhere, factor)
    baked = bake(lora, everywhere, factor, checkpoint=own)
    for name, weight in own.items():
        parts = lora.modules[name]
        merged = weight + natural_delta(parts).double().reshape(weight.shape)
        wanted = np.empty_like(merged.numpy())
        for output, row in enumerate(merged.numpy()):
            wanted[output] = (
                row * float(parts["dora_scale"].flatten()[output]) / np.sqrt((row**2).sum())
            )
        found = effect(baked.modules[name], weight)[0].numpy()
        # Stored as fp32
        np.testing.assert_allclose(
            found, factor * (wanted - weight.numpy()), atol=1e-5 * abs(wanted).max()
        )


def test_a_checkpoint_of_another_size_is_refused(tmp_path: Path) -> None:
    lora = dora(tmp_path)
    with pytest.raises(LoraFileError, match="name the checkpoint that the DoRA is for"):
        bake(lora, UNEVEN, checkpoint={name: torch.ones(3, 3) for name in lora.modules})


# The checkpoint's weights
# -------------------------------------------------------------------------------------------------


def checkpoint(folder: Path, names: list[str]) -> Path:
    unet = "model.diffusion_model."
    text = "cond_stage_model.transformer."
    own = {
        f"{text if name.startswith('text') else unet}{name}.weight": torch.full((2, 2), i)
        for i, name in enumerate(names)
    }
    safetensors.torch.save_file(own, folder / "checkpoint.safetensors")
    return folder / "checkpoint.safetensors"


def test_weights_are_found_by_their_canonical_names(tmp_path: Path) -> None:
    names = list(made(tmp_path).modules)
    found = read_weights(checkpoint(tmp_path, names), names)
    assert [int(found[name][0, 0]) for name in names] == list(range(len(names)))


def test_a_weight_that_is_not_there_is_named(tmp_path: Path) -> None:
    names = list(made(tmp_path).modules)
    with pytest.raises(CheckpointError, match=f"no weight of {names[-1]}"):
        read_weights(checkpoint(tmp_path, names[:-1]), names)


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint" * 9])
def test_a_bad_checkpoint_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"bad\.safetensors: found no .* expected a checkpoint"
    ) as caught:
        read_weights(tmp_path / "bad.safetensors", ["out.2"])
    assert "\n" not in str(caught.value)


# What the file tells
# -------------------------------------------------------------------------------------------------


def test_the_metadata_is_kept_and_told(tmp_path: Path) -> None:
    lora = made(tmp_path, ss_steps="9", **{"modelspec.hash_sha256": "0xold"})
    once = bake(lora, UNEVEN, STRENGTH, "mine")
    assert once.metadata["ss_steps"] == "9" and once.metadata["modelspec.title"] == "isa"
    assert (
        once.metadata["ss_baked_preset"] == "mine" and once.metadata["ss_baked_strength"] == "0.8"
    )
    assert once.metadata["ss_baked_from"] == "lora-1.safetensors"
    assert once.metadata["ss_baked_block_weights"] == str(UNEVEN)
    assert "modelspec.hash_sha256" not in once.metadata  # of tensors that are no longer there


def test_a_second_baking_is_told_behind_the_first(tmp_path: Path) -> None:
    once = bake(made(tmp_path), UNEVEN, STRENGTH, "mine")
    twice = bake(once, parse_block_weights("OUTD", SD1), 1, "OUTD")
    assert history_of(twice.metadata) == [
        "baked mine at 0.8 into lora-1.safetensors",
        "baked OUTD at 1 into lora-1.safetensors",
    ]


def test_both_hashes_of_a_baked_file_are_right(tmp_path: Path) -> None:
    stem = next(iter(STEMS))
    generator = torch.Generator().manual_seed(3)
    # The legacy hash reads beyond the first megabyte.
    up = torch.randn(12, 40000, generator=generator)
    large = {f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": torch.ones(40000, 8)}
    write_lora(
        tmp_path / "a.safetensors", large, {"ss_steps": "9", "modelspec.title": "isa"}, "fp16"
    )
    lora = read_lora(tmp_path / "a.safetensors")
    save_lora(tmp_path / "b.safetensors", bake(lora, UNEVEN, STRENGTH))
    data = (tmp_path / "b.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert (
        metadata["sshs_model_hash"]
        == hashlib.sha256(data[8 + length :]).hexdigest()
        != lora.metadata["sshs_model_hash"]
    )
    training = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    bare = safetensors.torch.save(safetensors.torch.load(data), training)
    assert metadata["sshs_legacy_hash"] == hashlib.sha256(bare[0x100000:0x110000]).hexdigest()[:8]
    assert metadata["sshs_legacy_hash"] != lora.metadata["sshs_legacy_hash"]
