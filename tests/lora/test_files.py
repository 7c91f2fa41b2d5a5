"""LoRA files: hashes, errors, and baking that equals the original with those weights."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from lib_singlelora.errors import LoraFileError, LoraKeyError
from lib_singlelora.lora.files import bake, read_lora, save_lora, write_lora
from lib_singlelora.lora.functional import module_delta
from lib_singlelora.naming.blocks import SD1, block_of
from lib_singlelora.naming.presets import parse_block_weights

STEMS = {
    "lora_te_text_model_encoder_layers_0_mlp_fc1": (12, 8),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (8, 8),
    "lora_unet_mid_block_attentions_0_proj_in": (8, 8, 1, 1),
    "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (8, 6),
    "lora_unet_up_blocks_3_resnets_1_conv1": (8, 8, 3, 3),
}
RANK = 4


def module(algorithm: str, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Tensor]:
    """Random tensors of one module."""
    out, inner, rest = shape[0], shape[1], shape[2:]

    def random(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    alpha = {"alpha": torch.tensor(2.0)}
    flat = inner * (rest[0] * rest[1] if rest else 1)
    if algorithm == "lora":
        return {"lora_up.weight": random(out, RANK, *(1 for _ in rest)), "lora_down.weight": random(RANK, inner, *rest), **alpha}
    if algorithm == "locon":
        if not rest:
            return module("lora", shape, generator)
        return {"lora_up.weight": random(out, RANK, 1, 1), "lora_mid.weight": random(RANK, RANK, *rest),
                "lora_down.weight": random(RANK, inner, 1, 1), **alpha}
    if algorithm == "loha":
        return {f"hada_w{n}_{s}": random(*size) for n in (1, 2) for s, size in (("a", (out, RANK)), ("b", (RANK, flat)))} | alpha
    if algorithm == "lokr":
        return {"lokr_w1": random(2, 2), "lokr_w2_a": random(out // 2, RANK), "lokr_w2_b": random(RANK, flat // 2), **alpha}
    return {"diff": random(*shape)}


def tensors(algorithm: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {f"{stem}.{part}": tensor for stem, shape in STEMS.items()
            for part, tensor in module(algorithm, shape, generator).items()}


def written(path: Path, algorithm: str = "lora", precision: str = "fp32", **metadata: str) -> Path:
    write_lora(path, tensors(algorithm), {"ss_output_name": "isa", "modelspec.title": "isa", **metadata}, precision)
    return path


@pytest.mark.parametrize("algorithm", ["lora", "locon", "loha", "lokr", "diff"])
def test_baked_equals_the_original_with_those_weights(tmp_path: Path, algorithm: str) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors", algorithm))
    weights = parse_block_weights("0.5,1,0.25,1,1,1,1,0.3,1,0.7,1,1,1,1,1,0.2,1", SD1)
    save_lora(tmp_path / "b.safetensors", bake(lora, weights, 0.8))
    baked = read_lora(tmp_path / "b.safetensors")
    shapes = dict(zip(lora.modules, STEMS.values(), strict=True))
    assert baked.modules.keys() <= lora.modules.keys()
    for name, shape in shapes.items():
        factor = weights[block_of(name, SD1)] * 0.8
        expected = module_delta(lora.modules[name], shape) * factor
        actual = module_delta(baked.modules[name], shape) if name in baked.modules else torch.zeros(shape)
        torch.testing.assert_close(actual, expected, rtol=2e-6, atol=2e-6)  # fp32 rounding


def test_a_block_at_zero_is_dropped_and_the_rest_is_bit_for_bit(tmp_path: Path) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors"))
    baked = bake(lora, parse_block_weights("OUTD", SD1), 1.0)
    kept = {key.partition(".")[0] for key in baked.tensors}
    assert kept == {"lora_te_text_model_encoder_layers_0_mlp_fc1",
                    "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"}
    assert all(torch.equal(baked.tensors[key], lora.tensors[key]) for key in baked.tensors)
    assert baked.metadata["ss_output_name"] == "isa" and "ss_baked_block_weights" in baked.metadata


def test_the_hashes_are_those_of_sd_scripts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", precision="fp16")
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8:8 + length])["__metadata__"]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data[8 + length:]).hexdigest()
    assert len(metadata["sshs_legacy_hash"]) == 8
    assert metadata["modelspec.title"] == "isa"


def test_the_legacy_hash_is_taken_before_the_other_metadata_is_added(tmp_path: Path) -> None:
    noise = torch.randn(900, 600, generator=torch.Generator().manual_seed(2))
    big = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": noise,
           "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(600, 8)}
    found = []
    for extra in ({}, {"modelspec.title": "x" * 500}):
        write_lora(tmp_path / "a.safetensors", big, {"ss_steps": "1", **extra}, "fp32")
        with safe_open(tmp_path / "a.safetensors", "pt") as file:
            found.append(file.metadata()["sshs_legacy_hash"])
    assert found[0] == found[1]


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_precision_is_what_was_asked(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors", precision=precision))
    assert {tensor.dtype for tensor in lora.tensors.values()} == {dtype}


def broken(folder: Path, how: str) -> Path:
    path = written(folder / "bad.safetensors")
    data = path.read_bytes()
    path.write_bytes({"truncated": data[:-100], "header": data[:20], "empty": b"", "text": b"hello, I am no LoRA\n" * 9}[how])
    return path


@pytest.mark.parametrize("how", ["truncated", "header", "empty", "text"])
def test_a_broken_file_is_one_clear_line(tmp_path: Path, how: str) -> None:
    with pytest.raises(LoraFileError, match=r"bad\.safetensors") as caught:
        read_lora(broken(tmp_path, how))
    assert "\n" not in str(caught.value) and "expected a LoRA" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match="no such file"):
        read_lora(tmp_path / "none.safetensors")


def test_unknown_keys_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_lora(tmp_path / "a.safetensors", {"lora_unet_elsewhere.lora_up.weight": torch.zeros(2, 2)}, {}, "fp32")
    with pytest.raises(LoraKeyError, match=r"1 of 1 keys match no sd1 module \(first: 'lora_unet_elsewhere"):
        read_lora(tmp_path / "a.safetensors")


def test_keys_without_an_algorithm_are_told(tmp_path: Path) -> None:
    stem = next(iter(STEMS))
    write_lora(tmp_path / "a.safetensors", {f"{stem}.strange": torch.zeros(2, 2)}, {}, "fp32")
    with pytest.raises(LoraKeyError, match="strange"):
        read_lora(tmp_path / "a.safetensors")


def test_baking_in_half_precision_rounds_nothing(tmp_path: Path) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors", precision="fp16"))
    save_lora(tmp_path / "b.safetensors", bake(lora, parse_block_weights("ALL", SD1), 0.3))
    baked = read_lora(tmp_path / "b.safetensors")
    for key, tensor in lora.tensors.items():
        factor = 0.3 if key.endswith("lora_up.weight") else 1
        assert torch.equal(baked.tensors[key].float(), tensor.float() * factor)


def test_a_preset_of_zeros_bakes_to_a_file_that_does_nothing(tmp_path: Path) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors"))
    save_lora(tmp_path / "b.safetensors", bake(lora, parse_block_weights("NONE", SD1)))
    (name, parts), = read_lora(tmp_path / "b.safetensors").modules.items()
    assert float(module_delta(parts, dict(zip(lora.modules, STEMS.values(), strict=True))[name]).abs().max()) == 0


def test_dora_is_refused_with_the_reason(tmp_path: Path) -> None:
    stem = next(iter(STEMS))
    own = {**tensors("lora"), f"{stem}.dora_scale": torch.ones(1, 8)}
    write_lora(tmp_path / "a.safetensors", own, {}, "fp32")
    with pytest.raises(LoraFileError, match="DoRA"):
        bake(read_lora(tmp_path / "a.safetensors"), parse_block_weights("OUTD", SD1))


def test_a_module_without_its_partner_is_told(tmp_path: Path) -> None:
    own = {key: tensor for key, tensor in tensors("lora").items() if not key.endswith("lora_down.weight")}
    write_lora(tmp_path / "a.safetensors", own, {}, "fp32")
    with pytest.raises(LoraKeyError, match="expected those of a LoRA"):
        read_lora(tmp_path / "a.safetensors")
