"""Checkpoint files: which are read, and which are refused with the reason in one line."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from lib_singlelora.errors import CheckpointError
from lib_singlelora.families.family import UNET
from lib_singlelora.host import ImageRequest
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.hosts.standalone.inspection import inspect, legacy_hash, read_tensors
from lib_singlelora.jobs import Job
from lib_singlelora.lora.checkpoints import read_weights

REQUEST = ImageRequest("a girl", (1,), 64, 64, steps=2)


def copied(small: Path, folder: Path, suffix: str = ".safetensors") -> Path:
    """The small checkpoint in a folder of its own, with its .yaml."""
    path = folder / f"copy{suffix}"
    tensors = safetensors.torch.load_file(small)
    if suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path, {"native_size": "64"})
    else:
        torch.save({"state_dict": tensors, "global_step": 3}, path)
    shutil.copy(small.with_suffix(".yaml"), path.with_suffix(".yaml"))
    return path


def test_a_ckpt_draws_what_the_safetensors_draws(
    small_checkpoint: Path, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    other = StandaloneHost(copied(small_checkpoint, tmp_path, ".ckpt"), "cpu")
    ours, theirs = (
        np.asarray(host.generate(REQUEST, Job())[0].image, np.int16)
        for host in (standalone_host, other)
    )
    # Sums depend on where weights lie in memory, and a training may have moved them
    assert np.abs(ours - theirs).max() <= 1
    assert ours.std() > 1


def test_a_pickle_with_code_is_not_opened(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    with (tmp_path / "evil.ckpt").open("wb") as file:
        pickle.dump({"state_dict": Evil()}, file)
    with pytest.raises(CheckpointError, match=r"evil\.ckpt") as caught:
        inspect(tmp_path / "evil.ckpt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def wrong(kind: str, folder: Path, small: Path) -> Path:
    """A file that is no SD1 checkpoint."""
    path = folder / "bad.safetensors"
    tensor = torch.zeros(1)
    tables = {
        "sdxl": {
            "conditioner.embedders.0.transformer.x": tensor,
            f"{UNET}input_blocks.0.0.weight": torch.zeros(1, 4, 3, 3),
        },
        "sd2": {
            "cond_stage_model.model.x": tensor,
            f"{UNET}input_blocks.0.0.weight": torch.zeros(1, 4, 3, 3),
        },
        "lora": {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": tensor},
        "flux": {"double_blocks.0.x": tensor},
        "unrelated": {"some.weight": tensor},
    }
    if kind in tables:
        safetensors.torch.save_file(tables[kind], path)
    elif kind == "text":
        path.write_text("no checkpoint at all\n")
    elif kind == "truncated":
        path.write_bytes(copied(small, folder).read_bytes()[:-1000])
    elif kind == "inpainting":
        tensors = safetensors.torch.load_file(small)
        tensors[f"{UNET}input_blocks.0.0.weight"] = torch.zeros(32, 9, 3, 3)
        safetensors.torch.save_file(tensors, path)
    elif kind == "empty":
        path.touch()
    return folder if kind == "folder" else path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sdxl", "no U-Net|no VAE|SDXL"),
        ("sd2", "no VAE"),
        ("lora", "found a LoRA"),
        ("flux", "Flux"),
        ("unrelated", "found no U-Net"),
        ("text", "no safetensors file"),
        ("truncated", "truncated"),
        ("inpainting", "9 input channels"),
        ("empty", "0 bytes"),
        ("missing", "no such file"),
        ("folder", "found a folder"),
    ],
)
def test_what_is_no_sd1_checkpoint_is_named(
    kind: str, words: str, tmp_path: Path, small_checkpoint: Path
) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        inspect(wrong(kind, tmp_path, small_checkpoint))
    assert "expected" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "part",
    ["model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model.enc"],
)
def test_a_missing_tensor_is_reported_with_its_network(
    part: str, tmp_path: Path, small_checkpoint: Path
) -> None:
    path = copied(small_checkpoint, tmp_path)
    tensors = safetensors.torch.load_file(path)
    gone = next(
        key
        for key in tensors
        if (key.startswith(part) and "layer_norm1.bias" in key)
        or key == f"{part}out.2.bias"
        or key == f"{part}decoder.conv_out.bias"
    )
    del tensors[gone]
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(CheckpointError, match="1 tensors missing"):
        _ = StandaloneHost(path, "cpu").networks


def test_a_narrow_checkpoint_without_its_yaml_says_what_it_needs(
    tmp_path: Path, small_checkpoint: Path
) -> None:
    path = copied(small_checkpoint, tmp_path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(CheckpointError, match=r"needs its \.yaml beside it"):
        _ = StandaloneHost(path, "cpu").networks


def test_a_broken_yaml_is_an_error(tmp_path: Path, small_checkpoint: Path) -> None:
    path = copied(small_checkpoint, tmp_path)
    path.with_suffix(".yaml").write_text("model: [")
    with pytest.raises(CheckpointError, match=r"copy\.yaml"):
        inspect(path)


def test_every_tensor_of_the_file_is_in_the_networks(
    standalone_host: StandaloneHost, small_checkpoint: Path
) -> None:
    tensors = safetensors.torch.load_file(small_checkpoint)
    networks = standalone_host.networks
    loaded = sum(
        p.numel() for m in (networks.unet, networks.vae, networks.text) for p in m.parameters()
    )
    assert loaded == sum(tensor.numel() for tensor in tensors.values())


def test_the_legacy_hash_is_of_the_bytes_at_one_mebibyte(tmp_path: Path) -> None:
    import hashlib

    data = bytes(range(256)) * 8192
    (tmp_path / "a").write_bytes(data)
    assert legacy_hash(tmp_path / "a") == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]


@pytest.mark.parametrize(
    ("kind", "name"), [(".ckpt", "model.safetensors"), (".safetensors", "model.ckpt")]
)
def test_a_wrong_suffix_is_read_by_what_is_in_the_file(
    kind: str, name: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    path = copied(small_checkpoint, tmp_path, kind).rename(tmp_path / name)
    shutil.copy(small_checkpoint.with_suffix(".yaml"), path.with_suffix(".yaml"))
    native_size = inspect(copied(small_checkpoint, tmp_path, kind)).native_size
    assert inspect(path).native_size == native_size
    expected = read_tensors(small_checkpoint)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in read_tensors(path).items())
    names = ["input_blocks.1.1.proj_in", "text_model.encoder.layers.0.mlp.fc1"]
    weights = read_weights(small_checkpoint, names)
    for name, weight in read_weights(path, names).items():
        assert torch.equal(weight, weights[name])


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
@pytest.mark.parametrize(
    ("head", "what"),
    [(b"<!DOCTYPE html>", "a web page"), (b"version https://git-lfs", "a Git LFS pointer")],
)
def test_what_is_no_checkpoint_is_named(name: str, head: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(head + b" " * 600)
    with pytest.raises(CheckpointError, match=f"found {what}"):
        inspect(tmp_path / name)
