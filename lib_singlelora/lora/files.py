"""LoRA files: reading by module, writing with kohya's hashes."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from ..errors import LoraFileError, LoraKeyError
from ..files.fileio import write_bytes
from ..files.weights import UnreadableWeights, read_weight_file
from ..naming.blocks import BlockLayout
from ..naming.keys import kohya_to_canonical
from .dialects import adapter_config, normalize
from .functional import (
    OF_THE_WEIGHT,
    algorithm_of,
    check_parts,
    natural_delta,
    natural_norm,
    per_output,
)

Precision = Literal["fp16", "bf16", "fp32"]
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class LoraFile:
    """A LoRA in memory.

    tensors: by kohya's keys, whatever the file's own were; fp8 as fp16.
    metadata: strings.
    embeddings: bundled textual inversions (`bundle_emb.NAME. …`), by their own keys.
    renamed: True if the file has other keys: a host that knows kohya's alone needs a copy
        (`save_lora`).
    notes: what the user should know about the file, a sentence each.
    stored: precision of the file's tensors.
    """

    name: str
    layout: BlockLayout
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    renamed: bool = False
    notes: tuple[str, ...] = ()
    stored: str = ""

    @cached_property
    def by_stem(self) -> dict[str, dict[str, Tensor]]:
        """kohya's stem of a module -> its tensors, by names such as `lora_up.weight`."""
        found: dict[str, dict[str, Tensor]] = {}
        for key, tensor in self.tensors.items():
            stem, _, part = key.partition(".")
            found.setdefault(stem, {})[part] = tensor
        return found

    @cached_property
    def modules(self) -> dict[str, dict[str, Tensor]]:
        """Canonical module name -> its tensors, as `by_stem`."""
        return {
            kohya_to_canonical(stem, self.layout): parts for stem, parts in self.by_stem.items()
        }

    def delta(self, stem: str) -> Tensor:
        """ΔW of a module, as `natural_delta`.

        Raises: LoraFileError, for tensors that do not fit one another, and non-finite values.
        """
        return self._computed(stem, natural_delta)

    def norm(self, stem: str) -> float:
        """Frobenius norm of a module's ΔW.

        Raises: LoraFileError, as `delta`.
        """
        return float(self._computed(stem, natural_norm))

    def _computed(self, stem: str, compute: Callable[[Mapping[str, Tensor]], Tensor]) -> Tensor:
        parts = self.by_stem[stem]
        try:
            found = compute(parts)
        except RuntimeError:
            shapes = ", ".join(f"{part} {tuple(tensor.shape)}" for part, tensor in parts.items())
            raise LoraFileError(
                f"{self.name}: {stem}: found tensors that do not fit one another ({shapes}),"
                " expected those of one module; copy or train it again"
            ) from None
        if not found.isfinite().all():
            raise LoraFileError(
                f"{self.name}: {stem}: found NaN or infinite numbers, expected a LoRA that draws;"
                " its training broke, use an earlier epoch"
            )
        return found


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA file of any trainer.

    kohya's keys, LyCORIS', diffusers', PEFT's, OneTrainer's and ai-toolkit's are known.
    Raises: LoraFileError, for a file that is missing, empty, truncated or without weights, and for
        non-finite values.
    Raises: LoraKeyError, for keys that no module of a known layout has, and for tensors that do not
        fit one another.
    """
    if not path.is_file():
        raise LoraFileError(
            f"{path}: found no such file, expected a LoRA .safetensors; check the path"
        )
    try:
        if not path.stat().st_size:
            raise LoraFileError(
                f"{path.name}: found an empty file, expected a LoRA; copy or train it again"
            )
        raw, metadata = read_weight_file(path)
    except UnreadableWeights as error:
        raise LoraFileError(
            f"{path.name}: found {error}, expected a LoRA .safetensors; copy or train it again"
        ) from None
    except OSError as error:
        raise LoraFileError(
            f"{path.name}: cannot be read ({error.strerror or error}), expected a LoRA"
            " .safetensors; check its permissions"
        ) from None
    if not raw:
        raise LoraFileError(f"{path.name}: found no tensors, expected a LoRA; train it again")
    found = normalize(path.name, raw, metadata, adapter_config(path))
    kinds = Counter(
        str(tensor.dtype).removeprefix("torch.") for tensor in raw.values() if tensor.dim()
    )
    renamed = found.renamed or path.suffix.lower() != ".safetensors"
    lora = LoraFile(
        path.name,
        found.layout,
        found.tensors,
        metadata,
        found.embeddings,
        renamed,
        found.notes,
        " and ".join(kind for kind, _ in kinds.most_common()),
    )
    for module, parts in lora.modules.items():
        try:
            check_parts(parts)
        except LoraFileError as error:
            raise LoraKeyError(f"{path.name}: {module}: {error}") from None
    return replace(lora, notes=(*lora.notes, *_notes(lora)))


def _notes(lora: LoraFile) -> list[str]:
    """What the user should know about the tensors, a sentence each."""
    found = []
    columns = [
        name
        for name, parts in lora.modules.items()
        if "dora_scale" in parts and per_output(parts["dora_scale"])
    ]
    if columns:
        found.append(
            f"{len(columns)} of its modules are DoRA with one magnitude an output (LyCORIS'"
            " wd_on_output, PEFT's DoRA): the WebUI would draw coloured noise with them; 'bake"
            " FILE --preset ALL --checkpoint CHECKPOINT --out NEW' makes a file that draws right"
        )
    names = sorted({key.split(".")[1] for key in lora.embeddings})
    if names:
        found.append(
            f"it bundles the embedding{'s' if len(names) > 1 else ''} {', '.join(names)}: in"
            " prompts the name stands for its vectors"
        )
    opaque = {algorithm_of(parts) for parts in lora.modules.values()} & set(OF_THE_WEIGHT)
    if opaque:
        found.append(
            f"what its {' and '.join(sorted(opaque))} modules change depends on the checkpoint, so"
            " no strength is told"
        )
    return found


def model_hashes(data: bytes) -> tuple[str, str]:
    """(sshs_model_hash, sshs_legacy_hash) of a safetensors file's bytes.

    Source: sd-scripts library/train_util.py, precalculate_safetensors_hashes and
    addnet_hash_safetensors.
    """
    (length,) = struct.unpack("<Q", data[:8])
    return (
        hashlib.sha256(data[8 + length :]).hexdigest(),
        hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8],
    )


def write_lora(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: str | None
) -> None:
    """Write a file as kohya's, atomically, with both of its hashes.

    As in sd-scripts they are taken over the tensors and the `ss_*` entries only.
    precision: of every tensor; None keeps each as it is.
    Raises: WorkspaceError, when the disk is full or read-only.
    """
    dtype = DTYPES[precision] if precision else None
    own = {
        key: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for key, tensor in sorted(tensors.items())
    }
    training = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    full, legacy = model_hashes(safetensors.torch.save(own, training))
    write_bytes(
        path,
        safetensors.torch.save(
            own, {**metadata, "sshs_model_hash": full, "sshs_legacy_hash": legacy}
        ),
    )


def save_lora(path: Path, lora: LoraFile) -> None:
    """Write a LoRA with its bundled embeddings, each tensor in the precision it has."""
    write_lora(path, {**lora.tensors, **lora.embeddings}, lora.metadata, None)
