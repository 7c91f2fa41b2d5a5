"""A summary of a LoRA file, from the file alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from ..naming.blocks import BASE, block_of
from ..naming.keys import kohya_to_canonical
from .files import LoraFile
from .functional import OF_THE_WEIGHT, algorithm_of, per_output, rank_of
from .history import history_of

ALGORITHM_NAMES = {
    "lora": "LoRA",
    "loha": "LoHa",
    "lokr": "LoKr",
    "full": "full",
    "norm": "norms",
    "glora": "GLoRA",
    "oft": "OFT",
    "ia3": "IA3",
}
# Metadata that users look for, in this order
HIGHLIGHTS = {
    "ss_output_name": "name",
    "modelspec.trigger_phrase": "trigger",
    "ss_sd_model_name": "trained on",
    "ss_epoch": "epoch",
    "ss_steps": "steps",
    "ss_num_train_images": "pictures",
    "ss_resolution": "resolution",
    "ss_clip_skip": "clip skip",
    "ss_unet_lr": "U-Net rate",
    "ss_text_encoder_lr": "text encoder rate",
    "ss_optimizer": "optimizer",
    "ss_noise_offset": "noise offset",
    "ss_min_snr_gamma": "min-SNR gamma",
    "modelspec.date": "made",
    "sshs_model_hash": "hash",
}
ABSENT = ("", "None", "null")


@dataclass(frozen=True)
class BlockSummary:
    """A block of the LoRA.

    modules: their number.
    norm: mean Frobenius norm of their ΔW, as in the training's log; of a DoRA before the
        magnitudes; 0 where it depends on the checkpoint.
    """

    modules: int
    norm: float


@dataclass(frozen=True)
class LoraSummary:
    """What the user may want to know about a LoRA file.

    ranks, alphas: the smallest and the largest; None without any.
    precision: of the tensors as they are stored.
    parameters: numbers in all tensors.
    size: bytes of the tensors.
    blocks: those with modules.
    highlights: of the metadata.
    tags: the most frequent ones of the captions.
    history: what was done after the training.
    notes: what the user should know about the file.
    """

    name: str
    architecture: str
    algorithm: str
    ranks: tuple[int, int] | None
    alphas: tuple[float, float] | None
    precision: str
    parameters: int
    size: int
    blocks: Mapping[str, BlockSummary]
    highlights: Mapping[str, str]
    tags: tuple[str, ...]
    history: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def norms(self) -> dict[str, float]:
        """Block -> norm."""
        return {label: block.norm for label, block in self.blocks.items()}

    @property
    def modules(self) -> int:
        """How many modules it changes."""
        return sum(block.modules for block in self.blocks.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "modules": self.modules}


def summarize(lora: LoraFile) -> LoraSummary:
    """Architecture, algorithm, rank, alpha, blocks with their norms, and what the metadata says."""
    modules = lora.modules.values()
    ranks = sorted(rank for rank in map(rank_of, modules) if rank is not None)
    alphas = sorted(float(parts["alpha"]) for parts in modules if "alpha" in parts)
    precisions = Counter(
        str(tensor.dtype).removeprefix("torch.") for tensor in lora.tensors.values() if tensor.dim()
    )
    precision = lora.stored or " and ".join(name for name, _ in precisions.most_common())
    return LoraSummary(
        lora.name,
        lora.layout.name,
        _algorithm(lora),
        _ends(ranks),
        _ends(alphas),
        precision,
        sum(tensor.numel() for tensor in lora.tensors.values()),
        sum(tensor.numel() * tensor.element_size() for tensor in lora.tensors.values()),
        _blocks(lora),
        {
            label: lora.metadata[key]
            for key, label in HIGHLIGHTS.items()
            if lora.metadata.get(key, "") not in ABSENT
        },
        _tags(lora.metadata),
        tuple(history_of(lora.metadata)),
        lora.notes,
    )


def _ends(values: Sequence[Any]) -> tuple[Any, Any] | None:
    return (values[0], values[-1]) if values else None


def _algorithm(lora: LoraFile) -> str:
    found = Counter(_algorithm_name(parts) for parts in lora.modules.values())
    names = [name for name, _ in found.most_common()]
    return "LoCon" if set(names) == {"LoRA", "LoCon"} else " and ".join(names)


def _algorithm_name(parts: Mapping[str, Tensor]) -> str:
    algorithm = ALGORITHM_NAMES[algorithm_of(parts)]
    if algorithm == "LoRA":
        down = parts["lora_down.weight"]
        wide = "lora_mid.weight" in parts or (down.dim() == 4 and down.shape[-1] > 1)
        algorithm = "LoCon" if wide else "LoRA"
    if "dora_scale" in parts:
        axis = " of one magnitude an output" if per_output(parts["dora_scale"]) else ""
        return f"DoRA{axis}" if algorithm in ("LoRA", "LoCon") else f"{algorithm} with DoRA{axis}"
    return algorithm


def _blocks(lora: LoraFile) -> dict[str, BlockSummary]:
    norms: dict[str, list[float]] = {}
    for stem in lora.by_stem:
        label = block_of(kohya_to_canonical(stem, lora.layout), lora.layout)
        # What OFT, GLoRA and IA3 change depends on the checkpoint, so their blocks are told without
        # a strength.
        norms.setdefault(label, []).append(
            0.0 if algorithm_of(lora.by_stem[stem]) in OF_THE_WEIGHT else lora.norm(stem)
        )
    return {
        label: BlockSummary(len(norms[label]), sum(norms[label]) / len(norms[label]))
        for label in (BASE, *lora.layout.labels)
        if label in norms
    }


def _tags(metadata: Mapping[str, str], count: int = 12) -> tuple[str, ...]:
    """The most frequent tags of the captions, summed over kohya's counts for each folder."""
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
        total: Counter[str] = Counter()
        for tags in folders.values():
            total.update({str(tag).strip(): int(number) for tag, number in tags.items()})
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return ()
    return tuple(tag for tag, _ in total.most_common(count))
