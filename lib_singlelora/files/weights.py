"""Weight files from anywhere: checked before memory is allocated for them; no code in them runs.

Our readers (LoRA files, checkpoints, upscalers, snapshots) put the reason into errors of their own.
"""

from __future__ import annotations

import itertools
import json
import math
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

MOST_HEADER = 100_000_000  # bytes, as in safetensors' own reader
MOST_DIMENSION = 2**31 - 1
MOST_DIMENSIONS = 16
# How many times its size a pickle may unpack to: torch does not compress, and compression at most
# halves a checkpoint.
MOST_UNPACKED = 8
SLACK = 2**20  # bytes; a file of some hundred bytes is no bomb
# Bytes per number.  Other dtypes are left to safetensors, which knows those of its version.
SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E5M2": 1,
    "F8_E4M3": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
# First bytes of files by torch.save, new and old format
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# First bytes of files that are mistaken for weights.
OTHERS = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"RIFF", "a WebP picture"),
    (b"GGUF", "a GGUF model"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"{", "a JSON file"),
)
# Errors that torch's unpickler raises for broken data: it trusts the bytes, so they vary.
BROKEN = (
    pickle.PickleError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    BufferError,
    ImportError,
    MemoryError,
    struct.error,
)


class UnreadableWeights(ValueError):
    """The message says in a few words what was found instead of weights."""


class CodeInWeights(UnreadableWeights):
    """The file would run code when it is read in full; it was not run."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; code in a file is not run")


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    shapes: key -> shape.
    metadata: key -> text.
    end: the size that the file must have, in bytes.
    """

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    end: int


def read_header(path: Path) -> Header:
    """The checked header; nothing else of the file is read.

    Raises: UnreadableWeights; OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        if len(first) < 8:
            raise UnreadableWeights(f"{size} bytes that are no safetensors file")
        (length,) = struct.unpack("<Q", first)
        if length > min(size - 8, MOST_HEADER):
            raise UnreadableWeights(
                f"{size} bytes that are no safetensors file (its header would take {length})"
            )
        text = file.read(length)
    values = _object(text)
    metadata = values.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise UnreadableWeights("metadata that is not all text")
    shapes = {}
    ends = [(0, 0)]
    for key, told in values.items():
        shapes[key], span = _entry(key, told)
        ends.append(span)
    ends.sort()
    for (_, before), (begin, _) in itertools.pairwise(ends):
        if begin != before:
            raise UnreadableWeights(
                f"tensors that overlap or leave a hole at byte {min(begin, before)}"
            )
    return Header(shapes, metadata, 8 + length + ends[-1][1])


def _object(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise UnreadableWeights("a header that names something twice")
        return found

    try:
        values = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except UnreadableWeights:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableWeights(f"a header that is no JSON ({type(error).__name__})") from None
    if not isinstance(values, dict):
        raise UnreadableWeights(f"a header that is a {type(values).__name__}")
    return values


def _entry(key: str, told: Any) -> tuple[tuple[int, ...], tuple[int, int]]:
    """(shape, (begin, end))."""
    values: dict[str, Any] = told if isinstance(told, dict) else {}
    shape = _integers(values.get("shape"))
    span = _integers(values.get("data_offsets"))
    dtype = values.get("dtype")
    if shape is None or span is None or len(span) != 2 or not isinstance(dtype, str):
        raise UnreadableWeights(f"an entry {key[:80]!r} without type, shape and place")
    begin, end = span
    if begin > end or len(shape) > MOST_DIMENSIONS or any(side > MOST_DIMENSION for side in shape):
        raise UnreadableWeights(f"a tensor {key[:80]!r} of {str(shape)[:80]} at {str(span)[:60]}")
    number = SIZES.get(dtype)
    if number is not None and math.prod(shape) * number != end - begin:
        raise UnreadableWeights(
            f"a tensor {key[:80]!r} of {str(shape)[:80]} in {end - begin} bytes"
        )
    return tuple(shape), (begin, end)


def _integers(values: Any) -> list[int] | None:
    """The values, if they are a list of integers from 0 to 2**63 - 1."""
    valid = isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**63 for value in values
    )
    return values if valid else None


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a whole file.  Raises: UnreadableWeights; OSError."""
    header = read_header(path)
    size = path.stat().st_size
    if header.end != size:
        raise UnreadableWeights(
            f"{size} bytes, not the {header.end} of its header: it is truncated or something was"
            " appended"
        )
    try:
        return safetensors.torch.load_file(path), header.metadata
    except (safetensors.SafetensorError, *BROKEN) as error:
        raise UnreadableWeights(f"no whole safetensors ({_first_line(error)})") from None


def is_safetensors(path: Path) -> bool:
    """True if the content is safetensors, or unknown under the name of one.  Raises: OSError."""
    with path.open("rb") as file:
        head = file.read(9)
    # Checked first: the length of a header may look like a pickle (640 is 80 02).
    if (
        len(head) == 9
        and head[8:] == b"{"
        and struct.unpack("<Q", head[:8])[0] <= path.stat().st_size
    ):
        return True
    return not head.startswith(PICKLES) and path.suffix.lower() == ".safetensors"


def is_pickle(path: Path) -> bool:
    """True if the content is by torch.save, whatever the suffix.  Raises: OSError."""
    with path.open("rb") as file:
        return file.read(4).startswith(PICKLES) and not is_safetensors(path)


def read_weight_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of safetensors or a pickle of plain weights, by the file's content.

    Raises: UnreadableWeights, naming what the file is instead; OSError.
    """
    if is_pickle(path):
        loaded = read_pickle(path)
        if isinstance(loaded, dict):
            loaded = loaded.get("state_dict", loaded)
        if not isinstance(loaded, dict):
            raise UnreadableWeights(f"a pickled {type(loaded).__name__}")
        return {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}, {}
    if what := other_kind(path):
        raise UnreadableWeights(what)
    return read_safetensors(path)


def other_kind(path: Path) -> str:
    """The kind of a file that is no weight file, in a few words; '' for one that may be.

    Raises: OSError.
    """
    with path.open("rb") as file:
        head = file.read(512)
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page (the download went wrong)"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself (call 'git lfs pull')"
    return next((name for start, name in OTHERS if head.startswith(start)), "")


def read_pickle(path: Path) -> Any:
    """The content of a .ckpt, .pth or .pt: plain values and tensors, of a bounded size.

    Raises: UnreadableWeights; OSError.
    """
    size = path.stat().st_size
    most = MOST_UNPACKED * size + SLACK
    try:
        if _is_archive(path):
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            # Before 2.6 torch.load hands these to torch.jit.load, which runs their code,
            # weights_only or not (CVE-2025-32434).
            if any(entry.filename.rpartition("/")[2] == "constants.pkl" for entry in entries):
                raise CodeInWeights("a TorchScript program")
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > most:
                raise UnreadableWeights(f"{size} bytes that would unpack to {unpacked}, a bomb")
        elif tarfile.is_tarfile(path):  # torch unpacks these onto the disk
            raise UnreadableWeights("an archive of PyTorch before 0.2")
        # Opened here: for a name in .safetensors torch would choose another reader
        with path.open("rb") as file:
            # Not torch.load: the WebUI patches it with a check that leaves a file at its end.
            content = torch.serialization.load(file, map_location="cpu", weights_only=True)
        claimed = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(content))
    except UnreadableWeights:
        raise
    except pickle.UnpicklingError as error:
        # The second wording is torch 2.1's
        foreign = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))
        what = (
            f"a pickle that calls {foreign[1][:80]}"
            if foreign
            else "a pickle of something else than plain weights"
        )
        raise CodeInWeights(what) from None
    except BROKEN as error:
        raise UnreadableWeights(f"a broken or truncated file ({type(error).__name__})") from None
    if claimed > most:
        raise UnreadableWeights(f"tensors that claim {claimed} bytes in a file of {size}")
    return content


def _is_archive(path: Path) -> bool:
    """True if torch reads the file as an archive, so that we check the same one."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _tensors(content: Any) -> Iterator[Tensor]:
    """Every tensor in nested containers, which may contain themselves."""
    todo = [content]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
                raise UnreadableWeights(
                    f"a tensor of another kind ({value.layout}, {value.device}) than plain weights"
                )
            yield value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            todo.extend(value.values() if isinstance(value, dict) else value)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
