"""Files whose names say something else than their contents."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lib_singlelora.errors import LoraFileError
from lib_singlelora.lora.files import read_lora
from tests.tiny_lora import STEMS, tensors, written


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_of_weights_is_read_whatever_its_name(
    name: str, wrapped: bool, tmp_path: Path
) -> None:
    own = tensors("lora")
    torch.save({"state_dict": own} if wrapped else own, tmp_path / name)
    lora = read_lora(tmp_path / name)
    assert list(lora.by_stem) == list(STEMS)
    assert all(torch.equal(lora.tensors[key], tensor) for key, tensor in own.items())


def test_a_pickle_needs_a_copy_where_its_name_is_no_safetensors(tmp_path: Path) -> None:
    torch.save(tensors("lora"), tmp_path / "a.pt")
    assert read_lora(tmp_path / "a.pt").renamed


def test_safetensors_are_read_under_another_name(tmp_path: Path) -> None:
    file = written(tmp_path / "a.safetensors").rename(tmp_path / "a.ckpt")
    assert list(read_lora(file).by_stem) == list(STEMS)


def test_code_in_a_pickle_is_named_and_not_run(tmp_path: Path) -> None:
    torch.save({"a": tmp_path}, tmp_path / "a.safetensors")
    with pytest.raises(LoraFileError, match=r"a\.safetensors: found a pickle that calls pathlib"):
        read_lora(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"GGUF", "a GGUF model"),
        (b"", "an empty file"),
        (b'{"a": 1}', "a JSON file"),
    ],
)
def test_other_files_are_named_for_what_they_are(head: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(head)
    with pytest.raises(LoraFileError, match=f"found {what}"):
        read_lora(tmp_path / "a.safetensors")


def test_a_zip_of_something_else_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.safetensors", "w") as archive:
        archive.writestr("readme.txt", "the LoRA is elsewhere")
    with pytest.raises(LoraFileError, match="found a broken or truncated file"):
        read_lora(tmp_path / "a.safetensors")


def test_a_header_whose_length_begins_as_a_pickle_does_is_a_header(tmp_path: Path) -> None:
    stem = next(iter(STEMS))
    path = tmp_path / "a.safetensors"
    own = {key: tensor for key, tensor in tensors("lora").items() if key.startswith(stem)}
    # Headers end at multiples of eight: one of these is 640, 896, 1152 or 1408 long
    for padding in range(8, 1024, 8):
        path.write_bytes(safetensors.torch.save(own, {"note": "x" * padding}))
        if path.read_bytes()[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            break
    else:
        pytest.fail("no header of such a length was made")
    assert list(read_lora(path).by_stem) == [stem]
