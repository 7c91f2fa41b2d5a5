"""What a checkpoint file is, told from its keys before anything large is read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
import yaml
from torch import Tensor

from ...errors import CheckpointError
from ...workspace import file_hash, write_json

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
WANTED = "expected a Stable Diffusion 1.x checkpoint, .safetensors or .ckpt"


@dataclass(frozen=True)
class Inspected:
    """A checkpoint that can be loaded.  params: of the `.yaml` beside it, or empty.  native_size: pixels."""

    path: Path
    params: Mapping[str, object]
    native_size: int


def inspect(path: Path) -> Inspected:
    """Look at a checkpoint's keys.

    Raises: CheckpointError, for a file that is missing, broken, or of another architecture, which is named.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: found no such file, {WANTED}; check --checkpoint")
    if path.is_dir():
        raise CheckpointError(f"{path}: found a folder, {WANTED}; name the file in it")
    metadata: Mapping[str, str] = {}
    if path.suffix == ".safetensors":
        header = _header(path)
        metadata = header.pop("__metadata__", {})  # type: ignore[assignment]
        shapes = {key: tuple(value["shape"]) for key, value in header.items()}  # type: ignore[index]
    else:
        shapes = {key: tuple(tensor.shape) for key, tensor in read_tensors(path).items()}
    _check_architecture(path, shapes)
    return Inspected(path, _yaml_params(path.with_suffix(".yaml")), _native_size(metadata))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file.  Raises: CheckpointError."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path.name}: found something that is no plain weights file ({reason[:120]}), {WANTED}; "
                              "a pickle may carry code and is not opened: convert it to .safetensors") from None
    except (safetensors.SafetensorError, RuntimeError, EOFError, ValueError, struct.error) as error:
        raise CheckpointError(f"{path.name}: found a broken or truncated file ({type(error).__name__}), {WANTED}; "
                              "download it again") from None
    if isinstance(loaded, dict):
        loaded = loaded.get("state_dict", loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{path.name}: found a {type(loaded).__name__} without weights, {WANTED}")
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def _header(path: Path) -> dict[str, object]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise ValueError
            header: dict[str, object] = json.loads(file.read(length))
        ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]  # type: ignore[index]
    except (ValueError, KeyError, TypeError, struct.error):
        raise CheckpointError(f"{path.name}: found {size} bytes that are no safetensors file, {WANTED}; download it again") from None
    if max(ends, default=0) + 8 + length != size:
        raise CheckpointError(f"{path.name}: found {size} bytes, expected {max(ends, default=0) + 8 + length}: the file is "
                              "truncated; download it again")
    return header


def _check_architecture(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    def any_starts(*prefixes: str) -> bool:
        return any(key.startswith(prefixes) for key in shapes)

    kind = ""
    if any_starts("conditioner.embedders."):
        kind = "an SDXL checkpoint, which is not supported yet"
    elif any_starts("cond_stage_model.model."):
        kind = "a Stable Diffusion 2 checkpoint, which is not supported yet"
    elif any_starts("lora_unet_", "lora_te_"):
        kind = "a LoRA"
    elif any_starts("double_blocks.", "model.diffusion_model.double_blocks.", "joint_blocks.", "model.diffusion_model.joint_blocks."):
        kind = "a checkpoint of another family (SD3 or Flux), which is not supported"
    if kind:
        raise CheckpointError(f"{path.name}: found {kind}, {WANTED}")
    for prefix, what in ((UNET, "a U-Net"), (VAE, "a VAE"), (TEXT, "a CLIP text encoder")):
        if not any_starts(prefix):
            raise CheckpointError(f"{path.name}: found no {what[2:]} in it ({len(shapes)} tensors), {WANTED} with {what}")
    channels = shapes.get(f"{UNET}input_blocks.0.0.weight", (0, 0))[1]
    if channels != 4:
        what = "an inpainting checkpoint" if channels == 9 else "a checkpoint"
        raise CheckpointError(f"{path.name}: found {what} with {channels} input channels, expected 4; use the base checkpoint "
                              "that it was made from, masked latents do the inpainting")


def _yaml_params(path: Path) -> Mapping[str, object]:
    if not path.exists():
        return {}
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["params"]
        params["unet_config"]["params"], params["first_stage_config"]["params"]["ddconfig"]  # both are needed
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name}: found no architecture in it ({type(error).__name__}: {error}), expected "
                              "model.params as in v1-inference.yaml; mend it or take it away") from None
    found: Mapping[str, object] = params
    return found


def _native_size(metadata: Mapping[str, str]) -> int:
    text = metadata.get("native_size") or metadata.get("modelspec.resolution", "512").split("x")[0]
    return int(text) if text.isdigit() and 64 <= int(text) <= 2048 else 512


def legacy_hash(path: Path) -> str:
    """First 8 hex digits of the SHA-256 of 0x10000 bytes at 0x100000: what `ss_sd_model_hash` holds."""
    with path.open("rb") as file:
        file.seek(0x100000)
        return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]


def cached_sha256(path: Path) -> str:
    """SHA-256 of a large file, remembered by size and time of change in the user's cache folder."""
    root = Path(os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache, stat = root / "singlelora" / "hashes.json", path.stat()
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
    known: dict[str, str] = {}
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        return known[key]
    except (OSError, ValueError, KeyError, TypeError):
        value = file_hash(path)
    if stat.st_size > 100_000_000:  # smaller ones are hashed faster than it is worth a file in the user's home
        write_json(cache, {**known, key: value})
    return value
