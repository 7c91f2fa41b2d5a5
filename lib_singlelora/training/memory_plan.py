"""The memory of a training, calculated from its settings before any checkpoint is loaded.

`memory.py` counts the same on a host's own networks, once they are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import nn

from ..lora.branches import LoraShape, new_branch, shape_of
from ..lora.network import is_target
from ..naming.blocks import BlockLayout, block_of, is_text
from ..naming.modules import ModuleSpec, module_specs
from ..settings.training import TrainingSettings
from .batch import prior_rows_per_sample
from .kept_activations import Bytes, kept_activations
from .memory import DEFAULT_STATE_BYTES, MEGABYTE, STATE_BYTES, PeakMemory

VAE_NUMBERS = 83_653_863  # weights of Stable Diffusion 1's autoencoder, and of XL's
VAE_CHANNELS = 128  # of its widest layers, at the picture's own resolution
VAE_TENSORS = 4  # of those, at once in memory
VOCABULARY = 49408 + 77  # rows of a text encoder's embeddings
# What CUDA, its libraries and the allocator's gaps take beyond the calculated peak
OVERHEAD = 0.8e9
GAPS = 1.05


@dataclass(frozen=True)
class Computer:
    """What a training computes on.

    name: for people.
    is_gpu: True if parts that are not needed leave it.
    bytes: its memory; 0 where that is not known.
    weight: bytes of a frozen weight.
    number: bytes of a number in a pass.
    autocast: True if norms compute in fp32 beside a pass in half precision.
    """

    name: str
    is_gpu: bool
    bytes: float = 0.0
    weight: float = 2.0
    number: float = 2.0
    autocast: bool = False

    def holds(self, peak: float) -> bool:
        """True if a calculated peak fits, or where its memory is not known."""
        overhead = OVERHEAD if self.is_gpu else 0.0
        return not self.bytes or peak * GAPS + overhead <= self.bytes


@dataclass(frozen=True)
class MemoryPlan:
    """What a training will need, bytes.

    step: at the peak of a step.
    caching: while pictures and captions are encoded, before the steps.
    checkpointing: True if that is with gradient checkpointing.
    """

    step: PeakMemory
    caching: float
    checkpointing: bool

    @property
    def peak(self) -> float:
        """The larger of both."""
        return max(self.step.total, self.caching)

    def __str__(self) -> str:
        how = "with" if self.checkpointing else "without"
        return (
            f"{self.step}, {how} gradient checkpointing;"
            f" {self.caching / MEGABYTE:,.0f} MB while pictures are encoded"
        )


def plan_memory(
    layout: BlockLayout,
    settings: TrainingSettings,
    weights: Mapping[str, float],
    size: tuple[int, int],
    computer: Computer,
    *,
    checkpointing: bool,
    tokens: int = 77,
) -> MemoryPlan:
    """What a training needs at its peak.

        step = weights + 4 n (2 + ema) + state n + rows (kept + 4 largest)

    n: trained numbers, in fp32 with their gradients.
    rows: the batch and its prior rows; the frozen model's own pass keeps nothing and is over before
        the other begins.
    weights: block -> factor of its learning rate.
    size: (width, height) of the largest bucket, pixels.
    tokens: of the longest caption, a multiple of 77.
    """
    shape = shape_of(settings)
    texts = tuple(rate > 0 for rate in settings.text_encoder_rates(len(layout.text)))
    kept = kept_activations(
        layout,
        shape,
        weights,
        size,
        tokens,
        Bytes(computer.number, 4.0 if computer.autocast else computer.number),
        unet=settings.unet_lr > 0,
        texts=texts,
    )
    rows = settings.batch_size * (1 + prior_rows_per_sample(settings))
    trained = trained_numbers(layout, shape, weights, settings.unet_lr > 0, texts)
    step = PeakMemory(
        _resident(layout, computer, any(texts), checkpointing),
        4.0 * trained * (2 + bool(settings.ema)),
        STATE_BYTES.get(settings.optimizer, DEFAULT_STATE_BYTES) * trained,
        rows * kept.total(checkpointing),
        4 * rows * kept.largest,
    )
    return MemoryPlan(step, _caching(layout, computer, size), checkpointing)


def _caching(layout: BlockLayout, computer: Computer, size: tuple[int, int]) -> float:
    """Bytes while pictures are encoded, or captions if that is more.

    On a GPU the VAE and the text encoders take turns beside the U-Net; on a CPU all are there.
    """
    unet = unet_numbers(layout) * computer.weight
    texts = text_numbers(layout) * computer.weight
    vae = 4.0 * (VAE_NUMBERS + VAE_TENSORS * VAE_CHANNELS * size[0] * size[1])
    return unet + (max(vae, texts) if computer.is_gpu else vae + texts)


def _resident(layout: BlockLayout, computer: Computer, text: bool, checkpointing: bool) -> float:
    """Bytes of the weights that lie in memory during the steps.

    On a CPU nothing is set aside, and with gradient checkpointing fp32 weights lie in fp16 but for
    those of one block (`ops/fp16_storage.py`).
    """
    unet = unet_numbers(layout)
    texts = text_numbers(layout)
    if computer.is_gpu:
        return computer.weight * (unet + (texts if text else 0))
    held = computer.weight * (unet + texts) + 4.0 * VAE_NUMBERS
    if checkpointing and computer.weight == 4:
        held += 4.0 * _largest_block(layout) - 2.0 * unet
    return held


@cache
def unet_numbers(layout: BlockLayout) -> int:
    """Weights of the U-Net."""
    return sum(_numbers(spec) for spec in module_specs(layout) if not is_text(spec.name))


@cache
def text_numbers(layout: BlockLayout) -> int:
    """Weights of the text encoders."""
    layers = sum(_numbers(spec) for spec in module_specs(layout) if is_text(spec.name))
    return layers + sum(VOCABULARY * width for _, _, _, width in layout.text)


def _numbers(spec: ModuleSpec) -> int:
    """Weights of a module, its bias among them."""
    has_bias = not spec.name.endswith((".to_q", ".to_k", ".to_v"))
    return math.prod(spec.shape) + has_bias * spec.shape[0]


@cache
def _largest_block(layout: BlockLayout) -> int:
    """Weights of the largest block that gradient checkpointing computes again."""
    sizes: dict[str, int] = {}
    for spec in module_specs(layout):
        if not is_text(spec.name):
            block = ".".join(spec.name.split(".")[: 2 if spec.name.startswith("middle") else 3])
            sizes[block] = sizes.get(block, 0) + _numbers(spec)
    return max(sizes.values())


def trained_numbers(
    layout: BlockLayout,
    shape: LoraShape,
    weights: Mapping[str, float],
    unet: bool,
    texts: Sequence[bool],
) -> int:
    """Numbers that the LoRA trains.

    weights: block -> factor of its learning rate; a block at 0 has no branches.
    unet, texts: True where it is trained, of each text encoder.
    """
    prefixes = tuple(
        f"{prefix}text_model."
        for (prefix, _, _, _), trained in zip(layout.text, texts, strict=False)
        if trained
    )
    return sum(
        _branch_numbers(spec.kind, spec.shape, shape)
        for spec in module_specs(layout)
        if spec.kind != "norm"
        and (spec.name.startswith(prefixes) if is_text(spec.name) else unet)
        and is_target(spec.name, shape.conv_rank > 0)
        and weights.get(block_of(spec.name, layout), 1.0)
    )


@cache
def _branch_numbers(kind: str, weight: tuple[int, ...], shape: LoraShape) -> int:
    """Numbers of the branch beside a module; weight: its shape."""
    if shape.algorithm == "DoRA":  # LyCORIS' needs values; a LoRA with a factor for each input
        return _branch_numbers(kind, weight, replace(shape, algorithm="LoRA")) + weight[1]
    beside: nn.Module
    with torch.device("meta"):
        if kind == "conv":
            beside = nn.Conv2d(weight[1], weight[0], weight[-1], padding=weight[-1] // 2)
        else:
            beside = nn.Linear(weight[1], weight[0])
    branch = new_branch(beside, shape, torch.Generator())
    return sum(parameter.numel() for parameter in branch.parameters())
