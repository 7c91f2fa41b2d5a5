"""The memory that a step needs at its peak, estimated before the first one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ..host import TrainingModel
from ..lora.network import LoraNetwork
from ..naming.blocks import is_text
from ..settings.training import TrainingSettings
from .batch import prior_rows_per_sample

PROBE_SIDES = (8, 16, 24)  # of latents: pictures of 64, 128 and 192 pixels
MEGABYTE = 1e6
# Bytes of state for each trained number, from the optimizers' papers and code
STATE_BYTES = {"AdamW": 8.0, "AdamW8bit": 2.1, "Lion": 4.0, "Adafactor": 0.2, "Muon": 4.0}
DEFAULT_STATE_BYTES = 8.0  # two moments in fp32


@dataclass(frozen=True)
class PeakMemory:
    """Memory at the peak of a step, bytes.

    weights: of the parts that a step needs.
    lora: with its gradients and average.
    optimizer: its state.
    kept: activations kept for the backward pass.
    work: temporary tensors.
    """

    weights: float
    lora: float
    optimizer: float
    kept: float
    work: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.weights + self.lora + self.optimizer + self.kept + self.work

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "LoRA": self.lora,
            "optimizer": self.optimizer,
            "kept for the backward pass": self.kept + self.work,
        }
        listed = ", ".join(f"{name} {value / MEGABYTE:,.0f}" for name, value in parts.items())
        return f"about {self.total / MEGABYTE:,.0f} MB at the peak of a step ({listed})"


@dataclass
class _Count:
    """Bytes that autograd keeps of one pass.

    kept: altogether.
    inputs: of the blocks' inputs.
    blocks: by each block.
    largest: the largest tensor.
    counted: addresses of storages that were counted or are weights: a tensor kept twice lies in
        memory once.
    held: every kept tensor, so that its address is not used again during the pass.
    """

    kept: float = 0.0
    inputs: float = 0.0
    blocks: list[float] = field(default_factory=list)
    largest: float = 0.0
    counted: set[int] = field(default_factory=set)
    held: list[Tensor] = field(default_factory=list)

    def add(self, tensor: Tensor) -> Tensor:
        size = float(tensor.untyped_storage().nbytes())
        if (address := tensor.untyped_storage().data_ptr()) not in self.counted:
            self.counted.add(address)
            self.kept += size
            self.largest = max(self.largest, size)
        # Not the tensor itself: an operation that keeps its own output would hold itself in a
        # circle that no collector opens, and each training would leave the whole pass behind.
        # Source: PyTorch, saved_tensors_hooks.
        detached = tensor.detach()
        self.held.append(detached)
        return detached


def peak_memory(
    model: TrainingModel,
    network: LoraNetwork,
    settings: TrainingSettings,
    sizes: Sequence[tuple[int, int]],
    captions: Sequence[str],
) -> PeakMemory:
    """The peak of a step; the network must be attached as it will be trained.

    sizes: (width, height) of the buckets, pixels.
    captions: the longest decides.

        peak = weights + 4 (2 + ema) n + state n + rows · kept(p) + work

    n: trained numbers, in fp32 with their gradients; ema: 1 with an average, else 0.
    rows: the batch and its prior rows.  The frozen model's pass keeps nothing and is over before
        the other begins.
    kept(p) = a + b p + c p²: fitted to what autograd keeps of pictures of 64, 128 and 192 pixels a
        side.  Convolutions and Linears grow with the pixels p, an attention that writes its matrix
        with p².  With gradient checkpointing: the blocks' inputs and the largest block.
    work: the largest tensor and its gradient, twice.
    What CUDA takes for itself, and what PyTorch's allocator reserves beyond its need, come on top.
    """
    numbers = sum(parameter.numel() for parameter in network.parameters())
    rates = settings.text_encoder_rates(len(model.layout.text))
    text = any(rates) or torch.device(model.device).type == "cpu"
    weights = sum(
        float(p.numel() * p.element_size())
        for name, module in model.targets()
        if text or not is_text(name)
        # Not its parameters: a projection that lies packed in an attention has none of its own
        for p in (module.weight, module.bias)
        if isinstance(p, Tensor)
    )
    if settings.gradient_checkpointing and torch.device(model.device).type == "cpu":
        weights -= _fp16_savings(model)
    caption = max(captions, key=model.count_tokens, default="")
    counts = [_count_pass(model, network, settings, side, caption) for side in PROBE_SIDES]
    pixels = [float((8 * side) ** 2) for side in PROBE_SIDES]
    largest = float(max((width * height for width, height in sizes), default=512 * 512))
    rows = settings.batch_size * (1 + prior_rows_per_sample(settings))
    kept = rows * max(
        0.0, _extrapolated(pixels, [_kept(count, settings) for count in counts], largest)
    )
    work = 4 * rows * max(0.0, _extrapolated(pixels, [count.largest for count in counts], largest))
    return PeakMemory(
        weights,
        4.0 * numbers * (2 + bool(settings.ema)),
        STATE_BYTES.get(settings.optimizer, DEFAULT_STATE_BYTES) * numbers,
        kept,
        work,
    )


def _fp16_savings(model: TrainingModel) -> float:
    """Bytes that ops/fp16_storage.py saves: blocks' fp32 weights lie in fp16 but for one block."""
    sizes = [
        sum(p.numel() * p.element_size() for p in block.parameters()) for block in model.blocks()
    ]
    first = next((p for block in model.blocks() for p in block.parameters() if p.dim() > 1), None)
    exact = (
        first is not None
        and first.dtype == torch.float32
        and bool((first.half().float() == first).all())
    )
    return max(0.0, sum(sizes) / 2 - max(sizes)) if exact else 0.0


def _kept(count: _Count, settings: TrainingSettings) -> float:
    if not settings.gradient_checkpointing:
        return count.kept
    return count.inputs + max(count.blocks, default=0.0) + max(0.0, count.kept - sum(count.blocks))


def _count_pass(
    model: TrainingModel, network: LoraNetwork, settings: TrainingSettings, side: int, caption: str
) -> _Count:
    """Count a pass over empty latents; nothing is learned and nothing random drawn.

    side: of the latents.
    """
    count = _Count(
        counted={
            p.untyped_storage().data_ptr()
            for _, module in model.targets()
            for p in module.parameters()
        }
        | {p.untyped_storage().data_ptr() for p in network.parameters()}
    )
    noisy = torch.zeros(1, 4, side, side, device=model.device)
    timesteps = torch.tensor([500], device=model.device)
    training = network.training
    network.eval()
    try:
        with _counting_blocks(model, count), saved_tensors_hooks(count.add, lambda tensor: tensor):
            with torch.set_grad_enabled(any(settings.text_encoder_rates(len(model.layout.text)))):
                texts = model.encode_prompts([caption], settings.clip_skip)
            model.predict(noisy, timesteps, texts).float().square().mean()
    finally:
        network.train(training)
        count.held.clear()
    return count


@contextmanager
def _counting_blocks(model: TrainingModel, count: _Count) -> Iterator[None]:
    """While inside, each block's share and input are counted."""
    starts: list[float] = []
    handles = []

    def begin(module: nn.Module, inputs: tuple[object, ...]) -> None:
        count.inputs += sum(
            float(x.numel() * x.element_size()) for x in inputs[:1] if isinstance(x, Tensor)
        )
        starts.append(count.kept)

    def end(module: nn.Module, inputs: object, output: object) -> None:
        count.blocks.append(count.kept - starts.pop())

    try:
        for block in model.blocks():
            handles += [block.register_forward_pre_hook(begin), block.register_forward_hook(end)]
        yield
    finally:
        for handle in handles:
            handle.remove()


def _extrapolated(pixels: list[float], values: list[float], at: float) -> float:
    """The parabola through three points, evaluated at another; Lagrange's form."""
    total = 0.0
    for i, value in enumerate(values):
        weight = 1.0
        for j, other in enumerate(pixels):
            if j != i:
                weight *= (at - other) / (pixels[i] - other)
        total += weight * value
    return total
