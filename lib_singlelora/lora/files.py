"""LoRA files: reading by module, writing with kohya's hashes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from ..errors import LoraFileError, LoraKeyError
from ..fileio import write_bytes
from ..naming.blocks import SD1, SD2, SDXL, BlockLayout
from ..naming.keys import kohya_to_canonical
from ..weight_files import UnreadableWeights, read_safetensors
from .functional import algorithm_of, natural_delta, natural_norm

Precision = Literal["fp16", "bf16", "fp32"]
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class LoraFile:
    """A LoRA in memory.  tensors: by kohya's keys, as stored.  metadata: strings."""

    name: str
    layout: BlockLayout
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @cached_property
    def by_stem(self) -> dict[str, dict[str, Tensor]]:
        """kohya's stem of a module -> its tensors by what follows the first dot (`lora_up.weight`, `alpha` …)."""
        found: dict[str, dict[str, Tensor]] = {}
        for key, tensor in self.tensors.items():
            stem, _, part = key.partition(".")
            found.setdefault(stem, {})[part] = tensor
        return found

    @cached_property
    def modules(self) -> dict[str, dict[str, Tensor]]:
        """Canonical module name -> its tensors, as `by_stem`."""
        return {kohya_to_canonical(stem, self.layout): parts for stem, parts in self.by_stem.items()}

    def delta(self, stem: str) -> Tensor:
        """ΔW of a module, as `natural_delta`.

        Raises: LoraFileError, when its tensors do not fit one another, or hold what is no number.
        """
        return self._computed(stem, natural_delta)

    def norm(self, stem: str) -> float:
        """Frobenius norm of a module's ΔW.  Raises: as `delta`."""
        return float(self._computed(stem, natural_norm))

    def _computed(self, stem: str, compute: Callable[[Mapping[str, Tensor]], Tensor]) -> Tensor:
        parts = self.by_stem[stem]
        try:
            found = compute(parts)
        except RuntimeError:
            shapes = ", ".join(f"{part} {tuple(tensor.shape)}" for part, tensor in parts.items())
            raise LoraFileError(f"{self.name}: {stem}: found tensors that do not fit one another ({shapes}), expected those of "
                                "one module; copy or train it again") from None
        if not found.isfinite().all():
            raise LoraFileError(f"{self.name}: {stem}: found NaN or infinite numbers, expected a LoRA that draws; its training "
                                "broke, use an earlier epoch")
        return found


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA file in kohya's form.

    Raises: LoraFileError, for a file that is missing, empty, truncated or no safetensors; LoraKeyError, for keys that
    no module of a known layout has.
    """
    if not path.is_file():
        raise LoraFileError(f"{path}: found no such file, expected a LoRA .safetensors; check the path")
    try:
        if not path.stat().st_size:
            raise LoraFileError(f"{path.name}: found an empty file, expected a LoRA; copy or train it again")
        tensors, metadata = read_safetensors(path)
    except UnreadableWeights as error:
        raise LoraFileError(f"{path.name}: found {error}, expected a LoRA .safetensors; copy or train it again") from None
    except OSError as error:
        raise LoraFileError(f"{path.name}: cannot be read ({error.strerror or error}), expected a LoRA .safetensors; check its "
                            "permissions") from None
    if not tensors:
        raise LoraFileError(f"{path.name}: found no tensors, expected a LoRA; train it again")
    layout = detect_layout(tensors)
    check_keys(path.name, tensors, layout)
    lora = LoraFile(path.name, layout, tensors, metadata)
    for module, parts in lora.modules.items():
        try:
            algorithm_of(parts)
        except LoraFileError as error:
            raise LoraKeyError(f"{path.name}: {module}: {error}") from None
    return lora


def detect_layout(keys: Mapping[str, object]) -> BlockLayout:
    """SDXL by its two text encoders or a transformer only it has, SD2 by a 13th text layer, else SD1."""
    xl = ("lora_te1_", "lora_te2_", "lora_unet_input_blocks_4_1_transformer_blocks_1", "lora_unet_output_blocks_0_1")
    if any(key.startswith(xl) for key in keys):
        return SDXL
    return SD2 if any(key.startswith("lora_te_text_model_encoder_layers_12_") for key in keys) else SD1


def check_keys(name: str, keys: Mapping[str, object], layout: BlockLayout) -> None:
    """Raises: LoraKeyError, naming the first key that no module has."""
    unknown = []
    for key in keys:
        try:
            kohya_to_canonical(key.partition(".")[0], layout)
        except LoraKeyError:
            unknown.append(key)
    if unknown:
        raise LoraKeyError(f"{name}: {len(unknown)} of {len(keys)} keys match no {layout.name} module (first: {unknown[0]!r}). "
                           "Was it trained for another base model?")


def model_hashes(data: bytes) -> tuple[str, str]:
    """(sshs_model_hash, sshs_legacy_hash) of a safetensors file's bytes.

    Source: sd-scripts library/train_util.py, precalculate_safetensors_hashes and addnet_hash_safetensors.
    """
    (length,) = struct.unpack("<Q", data[:8])
    return hashlib.sha256(data[8 + length:]).hexdigest(), hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]


def write_lora(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: str | None) -> None:
    """Write kohya's form atomically, with both hashes, which are taken over the tensors with the `ss_*` entries only.

    precision: of every tensor; None keeps each as it is.

    Raises: WorkspaceError, when the disk is full or read-only.
    """
    dtype = DTYPES[precision] if precision else None
    own = {key: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous() for key, tensor in sorted(tensors.items())}
    training = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    full, legacy = model_hashes(safetensors.torch.save(own, training))
    write_bytes(path, safetensors.torch.save(own, {**metadata, "sshs_model_hash": full, "sshs_legacy_hash": legacy}))


def save_lora(path: Path, lora: LoraFile) -> None:
    """Write a LoRA that was read or baked, each tensor in the precision it has."""
    write_lora(path, lora.tensors, lora.metadata, None)
