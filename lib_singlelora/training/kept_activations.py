"""What a pass of a U-Net keeps for its backward pass, from the layout alone.

The counting follows the networks' code: which tensors autograd holds of each operation, with the
frozen weights of `ops/frozen_autograd.py` (a frozen convolution keeps nothing, GEGLU its input) and
attention that writes no matrix.  `memory.py` counts the same on a host's own networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ..lora.branches import LoraShape
from ..naming.blocks import BASE, BlockLayout, block_of, is_text
from ..naming.modules import RESIDUAL, ModuleSpec, module_specs

HEAD = 64  # channels of an attention head
STATISTIC = 4  # bytes: what attention and norms keep of a place
# Of a transformer block, in tensors of its width: the inputs of three norms, q, k, v and output of
# the first attention, q and output of the second, GEGLU's input (8).
FROZEN_TENSORS = 17
# With branches also what enters them: the norms' outputs (3) and GEGLU's output (4).
TRAINED_TENSORS = 24
# A layer of a text encoder: norms' inputs and outputs, q, k, v and output, the activation's input,
# its sigmoid and its output (4 each), the residual sums.
TEXT_TENSORS = 20
BRANCHES = 8  # of a transformer block on the picture's places; two more lie on the tokens
# Bytes that LyCORIS' algorithms keep of each frozen weight, besides ΔW in the pass's dtype: both
# factors' products of LoHa in fp32, and the changed weight of DoRA.
LYCORIS_BYTES = {"LoHa": 8.0, "LoKr": 0.0, "DoRA": 4.0}


@dataclass
class Kept:
    """Bytes that a pass keeps of one sample.

    blocks: by each block that gradient checkpointing may compute again.
    inputs: of those blocks' inputs.
    outside: by everything else.
    largest: the largest tensor.
    """

    blocks: list[float] = field(default_factory=list)
    inputs: float = 0.0
    outside: float = 0.0
    largest: float = 0.0

    def total(self, checkpointing: bool) -> float:
        """What is kept with or without gradient checkpointing."""
        if not checkpointing:
            return sum(self.blocks) + self.outside
        return self.inputs + max(self.blocks, default=0.0) + self.outside


@dataclass(frozen=True)
class Bytes:
    """Bytes of a number in a pass.

    number: of activations.
    norm: of what enters and leaves norms, which autocast to fp16 computes in fp32.
    """

    number: float
    norm: float


def kept_activations(
    layout: BlockLayout,
    shape: LoraShape,
    weights: Mapping[str, float],
    size: tuple[int, int],
    tokens: int,
    in_bytes: Bytes,
    *,
    unet: bool = True,
    texts: Sequence[bool] = (),
) -> Kept:
    """What a pass over one sample keeps.

    weights: block -> factor of its learning rate; a block at 0 has no branches.
    size: (width, height) of the picture, pixels.
    tokens: of its prompt, a multiple of 77.
    unet, texts: True where it is trained, of each text encoder.
    """
    trained_texts = texts if weights.get(BASE, 1.0) else ()
    counting = _Pass(layout, shape, in_bytes, tokens, any(trained_texts))
    counting.text_encoders(trained_texts)
    width, height = (math.ceil(side / 8) for side in size)
    for name, specs in _blocks(layout):
        trained = unet and bool(weights.get(block_of(specs[0].name, layout), 1.0))
        counting.block(name, specs, width * height, trained)
        if specs[0].name.endswith(".op"):
            width, height = math.ceil(width / 2), math.ceil(height / 2)
        elif specs[0].name.endswith(".conv"):
            width, height = 2 * width, 2 * height
    return counting.kept


def _blocks(layout: BlockLayout) -> Iterator[tuple[str, list[ModuleSpec]]]:
    """(name, modules) of each ResBlock, transformer and resampler of the U-Net, in order."""
    unet = (spec for spec in module_specs(layout) if not is_text(spec.name))

    def owner(spec: ModuleSpec) -> str:
        pieces = spec.name.split(".")
        return ".".join(pieces[: 2 if pieces[0] == "middle_block" else 3])

    for name, specs in groupby(unet, owner):
        yield name, list(specs)


class _Pass:
    """Adds up one pass, from the first block to the last."""

    def __init__(
        self, layout: BlockLayout, shape: LoraShape, in_bytes: Bytes, tokens: int, text: bool
    ) -> None:
        self.layout = layout
        self.shape = shape
        self.bytes = in_bytes
        self.tokens = tokens
        self.text = text
        self.kept = Kept()
        self.has_gradient = False  # of what flows from block to block

    def block(self, name: str, specs: Sequence[ModuleSpec], places: int, trained: bool) -> None:
        """Add a block of the U-Net; places: of its input."""
        by_name = {spec.name.removeprefix(f"{name}."): spec for spec in specs}
        if "in_layers.2" in by_name:
            self._res_block(by_name, places, trained)
        elif "proj_in" in by_name:
            self._transformer(by_name, places, trained)
        elif name == "out.0":
            self._last_norm(specs[0].shape[0], places)
        elif specs[0].name.endswith((".op", ".conv")):
            self._resampler(specs[0], places, trained)

    def _res_block(self, specs: Mapping[str, ModuleSpec], places: int, trained: bool) -> None:
        outputs, inputs = specs["in_layers.2"].shape[:2]
        branches = trained and self.shape.conv_rank > 0
        kept = self._norm(inputs * places) if self.has_gradient else 0.0
        if branches:
            kept += self._branches(specs.values(), inputs * places + outputs * places, 2 * places)
            self.has_gradient = True
        if self.has_gradient:
            kept += self._norm(outputs * places)
        self._add(kept, inputs * places)
        self._largest(max(inputs, outputs) * places)

    def _norm(self, numbers: float) -> float:
        """A norm with the activation behind it: the inputs of both."""
        return 2 * numbers * self.bytes.norm

    def _transformer(self, specs: Mapping[str, ModuleSpec], places: int, trained: bool) -> None:
        width = specs["norm"].shape[0]
        depth = sum(name.endswith(".norm1") for name in specs)
        unit = width * places
        normed = unit * self.bytes.norm
        kept = normed if self.has_gradient else 0.0
        if trained or self.text or self.has_gradient:
            tensors = FROZEN_TENSORS - 3
            kept += depth * (tensors * unit * self.bytes.number + 3 * normed)
            kept += depth * places * STATISTIC * (2 * width / HEAD + 6)
            kept += depth * 2 * width * self.tokens * self.bytes.number
        if trained:
            entering = 2 * unit + depth * (TRAINED_TENSORS - FROZEN_TENSORS) * unit
            kept += self._branches(specs.values(), entering, (depth * BRANCHES + 2) * places)
        self.has_gradient |= trained or self.text
        self._add(kept, unit)
        self._largest(8 * unit)

    def _branches(self, specs: Iterable[ModuleSpec], entering: float, rows: float) -> float:
        """Branches on modules: what enters them, their inner activations, and their matrices.

        entering: numbers.
        rows: places of all of them together.
        """
        targets = [spec for spec in specs if _has_branch(spec, self.shape)]
        kept = entering * self.bytes.number
        if self.shape.algorithm in LYCORIS_BYTES:
            numbers = sum(math.prod(spec.shape) for spec in targets)
            return kept + numbers * (LYCORIS_BYTES[self.shape.algorithm] + self.bytes.number)
        # The scaled down matrix is a new tensor, the up matrix only where it is cast
        down = sum(math.prod(spec.shape[1:]) for spec in targets)
        up = sum(spec.shape[0] for spec in targets) if self.bytes.number < 4 else 0
        return kept + self.shape.rank * (rows + down + up) * self.bytes.number

    def _resampler(self, spec: ModuleSpec, places: int, trained: bool) -> None:
        if spec.name.endswith(".conv"):
            places *= 4
        if trained and self.shape.conv_rank:
            self.kept.outside += self._branches([spec], spec.shape[1] * places, places)
            self.has_gradient = True

    def _last_norm(self, width: int, places: int) -> None:
        if self.has_gradient:
            self.kept.outside += self._norm(width * places)

    def text_encoders(self, trained: Sequence[bool]) -> None:
        """Add the layers of the trained text encoders, which are blocks too."""
        for (_, _, layers, width), is_trained in zip(self.layout.text, trained, strict=False):
            if not is_trained:
                continue
            unit = width * self.tokens
            for _ in range(layers):
                kept = TEXT_TENSORS * unit * self.bytes.number
                matrices = self.shape.rank * (8 * width + 2 * 5 * width) * self.bytes.number
                self._add(kept + matrices, unit)

    def _add(self, kept: float, entering: float) -> None:
        self.kept.blocks.append(kept)
        self.kept.inputs += entering * self.bytes.number

    def _largest(self, numbers: float) -> None:
        self.kept.largest = max(self.kept.largest, numbers * self.bytes.number)


def _has_branch(spec: ModuleSpec, shape: LoraShape) -> bool:
    """True if kohya puts a branch on the module."""
    if spec.kind == "norm":
        return False
    if spec.name.endswith(RESIDUAL):
        return shape.conv_rank > 0
    return True
