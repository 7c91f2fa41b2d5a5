"""LoRA files: hashes, precision and errors."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lib_singlelora.errors import LoraFileError, LoraKeyError
from lib_singlelora.lora.files import read_lora, write_lora
from tests.tiny_lora import ALGORITHMS, STEMS, tensors, written


def test_the_hashes_are_those_of_sd_scripts(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", precision="fp16")
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data[8 + length :]).hexdigest()
    assert len(metadata["sshs_legacy_hash"]) == 8
    assert metadata["modelspec.title"] == "isa"


def test_the_legacy_hash_is_taken_before_the_other_metadata_is_added(tmp_path: Path) -> None:
    noise = torch.randn(900, 600, generator=torch.Generator().manual_seed(2))
    big = {
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": noise,
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(600, 8),
    }
    found = []
    for extra in ({}, {"modelspec.title": "x" * 500}):
        write_lora(tmp_path / "a.safetensors", big, {"ss_steps": "1", **extra}, "fp32")
        with safe_open(tmp_path / "a.safetensors", "pt") as file:
            found.append(file.metadata()["sshs_legacy_hash"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)],
)
def test_the_precision_is_what_was_asked(
    tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors", precision=precision))
    assert {tensor.dtype for tensor in lora.tensors.values()} == {dtype}


def broken(folder: Path, how: str) -> Path:
    path = written(folder / "bad.safetensors")
    data = path.read_bytes()
    path.write_bytes(
        {
            "truncated": data[:-100],
            "header": data[:20],
            "empty": b"",
            "text": b"hello, I am no LoRA\n" * 9,
        }[how]
    )
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
    write_lora(
        tmp_path / "a.safetensors",
        {"lora_unet_elsewhere.lora_up.weight": torch.zeros(2, 2)},
        {},
        "fp32",
    )
    with pytest.raises(
        LoraKeyError, match=r"1 of 1 keys match no sd1 module \(first: 'lora_unet_elsewhere"
    ):
        read_lora(tmp_path / "a.safetensors")


def test_keys_without_an_algorithm_are_told(tmp_path: Path) -> None:
    stem = next(iter(STEMS))
    write_lora(tmp_path / "a.safetensors", {f"{stem}.strange": torch.zeros(2, 2)}, {}, "fp32")
    with pytest.raises(LoraKeyError, match="strange"):
        read_lora(tmp_path / "a.safetensors")


def test_a_module_without_its_partner_is_told(tmp_path: Path) -> None:
    own = {
        key: tensor
        for key, tensor in tensors("lora").items()
        if not key.endswith("lora_down.weight")
    }
    write_lora(tmp_path / "a.safetensors", own, {}, "fp32")
    with pytest.raises(LoraKeyError, match="expected those of a LoRA"):
        read_lora(tmp_path / "a.safetensors")


def test_tensors_that_do_not_fit_one_another_are_told_with_their_module(tmp_path: Path) -> None:
    stem = next(iter(STEMS))
    write_lora(
        tmp_path / "a.safetensors",
        {**tensors("lora"), f"{stem}.lora_up.weight": torch.zeros(12, 7)},
        {},
        "fp32",
    )
    with pytest.raises(
        LoraFileError,
        match=r"text_model\.encoder\.layers\.0\.mlp\.fc1: found tensors that do not fit",
    ):
        read_lora(tmp_path / "a.safetensors")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_norm_is_that_of_the_change(tmp_path: Path, algorithm: str) -> None:
    lora = read_lora(written(tmp_path / "a.safetensors", algorithm))
    for stem in lora.by_stem:
        # Fp32 rounding
        assert lora.norm(stem) == pytest.approx(float(lora.delta(stem).norm()), rel=1e-5)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_lora_of_nans_is_told(tmp_path: Path, number: float) -> None:
    stem = next(iter(STEMS))
    own = {**tensors("lora"), f"{stem}.lora_up.weight": torch.full((12, 4), number)}
    write_lora(tmp_path / "a.safetensors", own, {}, "fp32")
    with pytest.raises(LoraFileError, match=rf"{stem}\.lora_up\.weight: found NaN or infinite"):
        read_lora(tmp_path / "a.safetensors")
