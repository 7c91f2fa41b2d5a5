"""The kind of a checkpoint file, from its keys, before its tensors are read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from ...errors import CheckpointError, WorkspaceError
from ...families import recognition
from ...families.family import Family, Prediction
from ...families.parameterization import Parameterization, parameterization_of
from ...files.fileio import file_hash, write_json
from ...files.weights import (
    CodeInWeights,
    Header,
    UnreadableWeights,
    is_safetensors,
    other_kind,
    read_header,
    read_pickle,
    read_safetensors,
)
from ...settings.preset_files import preset_of

HASH_CACHE_SIZE = 100_000_000  # bytes; smaller files are hashed faster than it is worth a file
EXPECTED = f"{recognition.EXPECTED}, .safetensors or .ckpt"


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint that can be loaded.

    params: `model.params` of the `.yaml` beside it, or empty.
    native_size: pixels of the side that it was trained at.
    preset: the training preset that the file names.
    family: what is true of every checkpoint of its kind.
    parameterization: what its U-Net predicts.
    title: that its metadata has.
    """

    path: Path
    params: Mapping[str, object]
    native_size: int
    preset: str
    family: Family
    parameterization: Parameterization
    title: str = ""

    @property
    def description(self) -> str:
        """What was found, for the log."""
        return f"{self.family}, {self.parameterization}"


def inspect(path: Path) -> CheckpointFile:
    """Look at a checkpoint's keys.

    Raises:
        CheckpointError: the file is missing, broken, or of another architecture, which is named.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: found no such file, {EXPECTED}; check --checkpoint")
    if path.is_dir():
        raise CheckpointError(f"{path}: found a folder, {EXPECTED}; name the file in it")
    metadata: Mapping[str, str] = {}
    if _is_safetensors(path):
        header = _header(path)
        metadata = header.metadata
        shapes = header.shapes
    else:
        shapes = {key: tuple(tensor.shape) for key, tensor in read_tensors(path).items()}
    family = recognition.recognize(shapes, path.name)
    params = _yaml_params(path.with_suffix(".yaml"))
    parameterization = parameterization_of(family, shapes, metadata, _config_prediction(params))
    if parameterization.prediction == "v_prediction" and _says_epsilon(params):
        # sd_xl_base.yaml lies beside many files; the file knows better what it was trained for
        source = f"{parameterization.source}; the epsilon of its .yaml is not followed"
        parameterization = replace(parameterization, source=source)
    return CheckpointFile(
        path,
        params,
        _native_size(metadata, family),
        preset_of(metadata, family.preset_for(parameterization.prediction)),
        family,
        parameterization,
        metadata.get("modelspec.title", ""),
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file by its key.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        if is_safetensors(path):
            return read_safetensors(path)[0]
        loaded = read_pickle(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnreadableWeights as error:
        raise _broken(path, error) from None
    if isinstance(loaded, dict):
        loaded = loaded.get("state_dict", loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(
            f"{path.name}: found a {type(loaded).__name__} without weights, {EXPECTED}"
        )
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def _is_safetensors(path: Path) -> bool:
    """True if the file's content is safetensors, whatever its suffix.

    Raises:
        CheckpointError: the file holds no weights at all; its kind is named.
    """
    try:
        kind = other_kind(path)
        safetensors = is_safetensors(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    if kind:
        raise CheckpointError(f"{path.name}: found {kind}, {EXPECTED}; download it again")
    return safetensors


def _header(path: Path) -> Header:
    try:
        header = read_header(path)
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnreadableWeights as error:
        raise _broken(path, error) from None
    if header.end != size:
        raise CheckpointError(
            f"{path.name}: found {size} bytes, expected {header.end}: the file is "
            "truncated; download it again"
        )
    return header


def _broken(path: Path, error: UnreadableWeights) -> CheckpointError:
    has_code = isinstance(error, CodeInWeights)
    remedy = "convert it to .safetensors where you trust it" if has_code else "download it again"
    return CheckpointError(f"{path.name}: found {error}, {EXPECTED}; {remedy}")


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path.name}: found a file that cannot be read ({error.strerror}), {EXPECTED}; check its"
        " permissions"
    )


def _yaml_params(path: Path) -> Mapping[str, object]:
    if not path.exists():
        return {}
    try:
        params: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["params"]
        # Both are needed: a LookupError or TypeError says that one is missing.
        unet_config(params)["params"], params["first_stage_config"]["params"]["ddconfig"]
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise CheckpointError(
            f"{path.name}: found no architecture in it ({type(error).__name__}: {reason}), expected"
            " model.params as in v1-inference.yaml or sd_xl_base.yaml; fix it or remove it"
        ) from None
    return params


def unet_config(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The U-Net's section of a config: ldm's, or generative-models'.

    Raises:
        LookupError: there is none.
    """
    section: Mapping[str, Any] = params.get("unet_config") or params["network_config"]
    return section


def text_config(params: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """The parameters of a text encoder in a config; empty where it says nothing of it.

    index: of the encoder among the family's.
    """
    section = params.get("cond_stage_config")
    if section is None:
        conditioner = _params(params.get("conditioner_config"))
        embedders = conditioner.get("emb_models")
        named = embedders if isinstance(embedders, list) else []
        section = named[index] if index < len(named) else None
    return _params(section)


def _params(section: object) -> Mapping[str, Any]:
    params = section.get("params") if isinstance(section, dict) else None
    return params if isinstance(params, dict) else {}


def _config_prediction(params: Mapping[str, Any]) -> Prediction | None:
    """v-prediction where a config asks for it: ldm's word, or generative-models' class."""
    denoiser = str(params.get("denoiser_config", ""))
    is_v = params.get("parameterization") == "v" or "VScaling" in denoiser
    return "v_prediction" if is_v else None


def _says_epsilon(params: Mapping[str, Any]) -> bool:
    denoiser = str(params.get("denoiser_config", ""))
    return params.get("parameterization") == "eps" or "EpsScaling" in denoiser


def _native_size(metadata: Mapping[str, str], family: Family) -> int:
    text = metadata.get("native_size") or metadata.get("modelspec.resolution", "").split("x")[0]
    known = text.isdecimal() and len(text) <= 4 and 64 <= int(text) <= 2048
    return int(text) if known else family.native_size


def legacy_hash(path: Path) -> str:
    """The hash of `ss_sd_model_hash`: 8 hex digits of the SHA-256 of 0x10000 bytes at 0x100000."""
    with path.open("rb") as file:
        file.seek(0x100000)
        return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]


def cached_sha256(path: Path) -> str:
    """SHA-256 of a large file, remembered by size and time of change in the user's cache folder."""
    root = Path(
        os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    )
    cache = root / "singlelora" / "hashes.json"
    stat = path.stat()
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        known = {str(name): str(value) for name, value in content.items()}
    # Not there yet, or broken: it is written anew.
    except (OSError, ValueError, AttributeError, RecursionError):
        known = {}
    if key in known:
        return known[key]
    sha256 = file_hash(path)
    if stat.st_size > HASH_CACHE_SIZE:
        with contextlib.suppress(WorkspaceError):  # a home that cannot be written only costs time
            write_json(cache, {**known, key: sha256})
    return sha256
