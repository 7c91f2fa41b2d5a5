"""Whether a training fits into the memory, and gradient checkpointing where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..families.registry import family_of
from ..host import TrainingModel
from ..naming.blocks import BlockLayout, is_text
from ..ops.allocator import physical_memory
from ..settings.training import TrainingSettings
from .memory_plan import Computer, MemoryPlan, plan_memory

GIGABYTE = 1e9
CHUNK = 77  # tokens of a chunk of the text encoder, its first and last among them


@dataclass(frozen=True)
class MemoryFit:
    """Settings that fit, as far as gradient checkpointing can make them.

    said: what the user should know.
    """

    settings: TrainingSettings
    plan: MemoryPlan
    said: tuple[str, ...] = ()


def fit_memory(
    layout: BlockLayout,
    settings: TrainingSettings,
    weights: Mapping[str, float],
    sizes: Sequence[tuple[int, int]],
    tokens: int,
    computer: Computer,
) -> MemoryFit:
    """The plan of a training, with gradient checkpointing where it does not fit without.

    Nothing that is learned depends on it, so a training may go on elsewhere without it.

    weights: block -> factor of its learning rate.
    sizes: (width, height) of the buckets, pixels.
    tokens: of the longest caption, without those of start and end.
    """
    largest = max(sizes, key=lambda size: size[0] * size[1], default=(512, 512))
    chunks = max(1, -(-tokens // (CHUNK - 2)))

    def plan(checkpointing: bool) -> MemoryPlan:
        return plan_memory(
            layout,
            settings,
            weights,
            largest,
            computer,
            checkpointing=checkpointing,
            tokens=chunks * CHUNK,
        )

    found = plan(settings.gradient_checkpointing)
    if not settings.auto_checkpointing or not wants_checkpointing(layout, found, computer):
        return MemoryFit(settings, found, _too_large(found, computer))
    lean = plan(True)
    said = (
        () if settings.gradient_checkpointing else (_switched_on(found, computer),)
    ) + _too_large(lean, computer)
    return MemoryFit(replace(settings, gradient_checkpointing=True), lean, said)


def wants_checkpointing(layout: BlockLayout, plan: MemoryPlan, computer: Computer) -> bool:
    """True if a training should compute blocks again rather than keep them.

    plan: without gradient checkpointing.
    """
    return _is_small(layout, computer) or not computer.holds(plan.step.total)


def is_small(model: TrainingModel) -> bool:
    """True on a GPU whose memory is short for the model's family.

    Its U-Net waits on the CPU then while pictures and captions are encoded.
    """
    if torch.device(model.device).type == "cpu":
        return False
    return _is_small(model.layout, _computer(torch.device(model.device)))


def _is_small(layout: BlockLayout, computer: Computer) -> bool:
    return computer.is_gpu and 0 < computer.bytes < family_of(layout).checkpointing_below


def _switched_on(plan: MemoryPlan, computer: Computer) -> str:
    return (
        f"gradient checkpointing is on: without it a step would need about"
        f" {plan.step.total / GIGABYTE:.1f} GB of {computer.name}'s {computer.bytes / GIGABYTE:.1f}"
        " (training.auto_checkpointing)"
    )


def _too_large(plan: MemoryPlan, computer: Computer) -> tuple[str, ...]:
    """A warning where even this plan does not fit; a swapping CPU is slow, a full GPU fails."""
    if computer.holds(plan.step.total):
        return ()
    return (
        f"a step needs about {plan.step.total / GIGABYTE:.1f} GB of {computer.name}'s"
        f" {computer.bytes / GIGABYTE:.1f}: lower training.resolution or training.batch_size, or"
        " train fewer blocks (training.block_weights)",
    )


def computer_of(model: TrainingModel) -> Computer:
    """What a host's networks compute on."""
    device = torch.device(model.device)
    first = next(
        (
            parameter
            for name, module in model.targets()
            if not is_text(name)
            for parameter in module.parameters(recurse=False)
        ),
        None,
    )
    weight = float(first.element_size()) if first is not None else 4.0
    number = float(torch.empty(0, dtype=model.compute_dtype).element_size())
    if device.type == "cpu" and model.compute_dtype == torch.bfloat16 and weight == number:
        weight += 4.0  # it is a copy for the training; the fp32 weights wait beside it
    halved = model.compute_dtype == torch.float16
    return replace(_computer(device), weight=weight, number=number, autocast=halved)


def likely_computer() -> Computer:
    """What the standalone host would compute on, before it has loaded anything."""
    if torch.cuda.is_available():
        return _computer(torch.device("cuda"))
    return replace(_computer(torch.device("cpu")), weight=4.0, number=4.0)


def _computer(device: torch.device) -> Computer:
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Computer(str(properties.name), True, float(properties.total_memory))
    if device.type == "cpu":
        return Computer("this computer", False, float(physical_memory()))
    return Computer(device.type, True)


def gpu_peak(device: str) -> Callable[[], float]:
    """Begins to watch a GPU; what is given tells the peak since then, bytes; 0 on a CPU."""
    if torch.device(device).type != "cuda":
        return lambda: 0.0
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: float(torch.cuda.max_memory_allocated(device))
