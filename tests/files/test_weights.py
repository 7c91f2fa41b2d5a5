"""Crafted files of weights: one clear line from every reader, before memory is taken for what they
claim.
"""

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_singlelora.errors import (
    CheckpointError,
    ImageModelError,
    LoraFileError,
    SingleLoraError,
    SnapshotError,
)
from lib_singlelora.files.weights import read_header, read_pickle, read_safetensors
from lib_singlelora.hosts.standalone.inspection import inspect, read_tensors
from lib_singlelora.imaging.esrgan import read_weights as read_upscaler
from lib_singlelora.lora.checkpoints import read_weights
from lib_singlelora.lora.files import read_lora
from lib_singlelora.training.snapshot import load_snapshot


def header(text: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this head, whatever it says."""
    head = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(head) if length is None else length) + head + data


def entry(shape: object, offsets: object, dtype: object = "F32", key: str = "a") -> str:
    return json.dumps({key: {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


CRAFTED = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "a header longer than the file": header("{}", length=1000),
    "a header of 10^18 bytes": header("{}", length=10**18),
    "the longest header": header("{}", length=2**64 - 1),
    "a list": header("[]"),
    "a number": header("3"),
    "null": header("null"),
    "no JSON": header("{"),
    "NUL": header("\0\0"),
    "no UTF-8": header(b'{"\xff": 1}'),
    "deep JSON": header("[" * 200_000),
    "deep objects": header('{"a":' * 50_000 + "1" + "}" * 50_000),
    "an infinite number": header('{"a": 1e400}'),
    "a long number": header('{"a": ' + "9" * 5000 + "}"),
    "an entry that is null": header('{"a": null}'),
    "an entry without anything": header('{"a": {}}'),
    "a negative offset": header(entry([1], [-4, 0]), b"1234"),
    "offsets backwards": header(entry([1], [4, 0]), b"1234"),
    "an offset behind the end": header(entry([10**9], [0, 4 * 10**9]), b"1234"),
    "offsets that are no numbers": header(entry([1], ["0", "4"]), b"1234"),
    "one offset": header(entry([1], [4]), b"1234"),
    "a shape of 10^36": header(entry([10**18, 10**18], [0, 4]), b"1234"),
    "2^63": header(entry([2**63], [0, 4]), b"1234"),
    "a shape that wraps around": header(entry([2**32, 2**32], [0, 0])),
    "nothing of 10^18": header(entry([0, 10**18], [0, 0])),
    "a negative shape": header(entry([-1], [0, 4]), b"1234"),
    "a shape of halves": header(entry([0.5], [0, 4]), b"1234"),
    "a shape of truths": header(entry([True], [0, 4]), b"1234"),
    "a shape that is text": header(entry("1", [0, 4]), b"1234"),
    "a thousand dimensions": header(entry([1] * 1000, [0, 4]), b"1234"),
    "an unknown type": header(entry([1], [0, 4], "F33"), b"1234"),
    "a type that is a list": header(entry([1], [0, 4], []), b"1234"),
    "another size": header(entry([2], [0, 4]), b"1234"),
    "something appended": header(entry([1], [0, 4]), b"12345678"),
    "tensors that overlap": header(
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
        '"b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}',
        b"123456",
    ),
    "a hole": header(
        '{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, '
        '"b": {"dtype": "U8", "shape": [1], "data_offsets": [2, 3]}}',
        b"123",
    ),
    "a key twice": header(
        '{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, '
        '"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}',
        b"1",
    ),
    "metadata of numbers": header('{"__metadata__": {"a": 1}}'),
    "metadata that is a list": header('{"__metadata__": []}'),
    "metadata that is null": header('{"__metadata__": null}'),
    "no tensors": header('{"__metadata__": {}}'),
    "a key that no model has": header(entry([1], [0, 4], key="\0\ud800"), b"1234"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "LoRA": read_lora,
    "checkpoint": inspect,
    "weights of a checkpoint": lambda path: read_weights(path, ["input_blocks.0.0"]),
    "upscaler": read_upscaler,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", CRAFTED)
def test_a_crafted_safetensors_is_one_clear_line(what: str, reader: str, tmp_path: Path) -> None:
    path = tmp_path / "crafted.safetensors"
    path.write_bytes(CRAFTED[what])
    if (what, reader) == ("a key that no model has", "upscaler"):
        pytest.skip("an upscaler's keys are judged by spandrel")
    with pytest.raises(SingleLoraError) as caught:
        READERS[reader](path)
    text = str(caught.value)
    assert "\n" not in text and "found" in text and "expected" in text and len(text) < 500


def test_a_good_file_is_read_with_its_metadata(tmp_path: Path) -> None:
    import safetensors.torch

    tensors = {
        "a": torch.arange(6.0).reshape(2, 3),
        "b": torch.zeros(0, 5),
        "c": torch.tensor(1, dtype=torch.int64),
    }
    safetensors.torch.save_file(tensors, tmp_path / "good.safetensors", {"who": "me"})
    head = read_header(tmp_path / "good.safetensors")
    assert head.shapes == {"a": (2, 3), "b": (0, 5), "c": ()} and head.metadata == {"who": "me"}
    found, metadata = read_safetensors(tmp_path / "good.safetensors")
    assert all(torch.equal(found[key], tensors[key]) for key in tensors) and metadata == {
        "who": "me"
    }


def bomb(path: Path) -> Path:
    """A .ckpt of zeros, packed to a thousandth of its size."""
    loose = path.with_suffix(".loose")
    torch.save({"state_dict": {"a": torch.zeros(20 * 2**20)}}, loose)
    with (
        zipfile.ZipFile(loose) as given,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in given.infolist():
            packed.writestr(entry.filename, given.read(entry))
    loose.unlink()
    assert path.stat().st_size < 100_000
    return path


def expanded(path: Path) -> Path:
    """A tensor of 4 TB in one number: its stride is 0."""
    torch.save({"a": torch.zeros(1).expand(10**12)}, path)
    return path


@pytest.mark.parametrize("make", [bomb, expanded], ids=["bomb", "expanded"])
def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path / "small.ckpt")
    for error, reader in (
        (CheckpointError, read_tensors),
        (ImageModelError, read_upscaler),
        (SnapshotError, lambda given: load_snapshot(given, "")),
    ):
        with pytest.raises(error) as caught:
            reader(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"bomb|claim"):
        read_pickle(path)


class Code:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


PICKLES = {
    "nothing": b"",
    "magic": b"PK\x03\x04",
    "an archive's head": b"PK\x03\x04" + bytes(100),
    "zeros": bytes(1000),
    "code": pickle.dumps(Code()),
    "a list": pickle.dumps([1]),
    "marks": b"\x80\x02" + b"(" * 5000,
    "long text": b"\x80\x02X\xff\xff\xff\x7f",
    "longer text": b"\x80\x05\x8d" + b"\xff" * 8,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("data", PICKLES.values(), ids=PICKLES)
def test_a_pickle_of_something_else_is_one_clear_line(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"found .* expected"):
        read_tensors(path)
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match="no such file"):
        read_lora(tmp_path)


def test_a_number_in_a_layers_name_is_not_built(tmp_path: Path, small_checkpoint: Path) -> None:
    """One key could claim a thousand million layers, which would be built for hours."""
    import shutil

    import safetensors.torch

    from lib_singlelora.hosts.standalone.checkpoint_loader import load_networks

    tensors = safetensors.torch.load_file(small_checkpoint)
    tensors["cond_stage_model.transformer.text_model.encoder.layers.999999999.mlp.fc1.bias"] = (
        torch.zeros(1)
    )
    path = tmp_path / "layers.safetensors"
    safetensors.torch.save_file(tensors, path)
    shutil.copy(small_checkpoint.with_suffix(".yaml"), path.with_suffix(".yaml"))
    with pytest.raises(CheckpointError, match="text encoder"):
        load_networks(inspect(path))


def test_another_programs_patch_of_torch_load_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The WebUI replaces torch.load by a check that reads an open file to its end."""

    def patched(file: Any, *args: Any, **kwargs: Any) -> Any:
        file.read()
        return original(file, *args, **kwargs)

    original = torch.load
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    monkeypatch.setattr(torch, "load", patched)
    assert torch.equal(read_pickle(tmp_path / "a.pt")["a"], torch.ones(2))
