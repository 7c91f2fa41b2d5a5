"""What a training watches for, and what it advises the user to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..errors import TrainingError
from ..lora.network import LoraNetwork
from ..settings.optimizer_table import SOURCES
from ..settings.training import TrainingSettings
from .batch import TrainingBatch
from .noise import add_noise
from .objective import Objective

# Prompts with nothing in common, whose encodings must stay apart
PROBE_PROMPTS = (
    "a dog on a beach",
    "a red car in a city",
    "a portrait of a man",
    "a castle in the mountains",
)
# Share of the untrained distance between prompts below which a text encoder no longer tells them
# apart
COLLAPSED = 0.3


def check_loraplus(settings: TrainingSettings) -> None:
    """Two rates in one module are possible.

    Raises: TrainingError, for an optimizer or an algorithm to which LoRA+ does not apply.
    """
    if settings.loraplus_ratio == 1:
        return
    if SOURCES[settings.optimizer].one_rate:
        raise TrainingError(
            f"training.loraplus_ratio: found {settings.optimizer}, which takes one learning rate"
            " for all weights, expected an optimizer such as AdamW; set the ratio to 1"
        )
    if settings.algorithm not in ("LoRA", "LoCon"):
        raise TrainingError(
            f"training.loraplus_ratio: found {settings.algorithm}, expected LoRA or LoCon, whose up"
            " matrices alone start at zero; set the ratio to 1"
        )


def check_loss(value: float, step: int, checkpoint_fault: Callable[[], str]) -> float:
    """The loss, if it is finite.

    checkpoint_fault: gives what is non-finite without the LoRA too, or ""; called only for a loss
        that is not finite.
    Raises: TrainingError, for a loss that is not finite.
    """
    if math.isfinite(value):
        return value
    if fault := checkpoint_fault():
        raise TrainingError(
            f"step {step}: the loss is {value}, expected a finite one, and the LoRA is not the"
            f" cause: {fault}"
        )
    raise TrainingError(
        f"step {step}: the loss is {value}, expected a finite one; the epochs saved so far are"
        " intact. Lower training.unet_lr (try a fifth) and train again"
    )


@torch.no_grad()
def checkpoint_fault(objective: Objective, batch: TrainingBatch) -> str:
    """What of the checkpoint is non-finite for a batch without the LoRA, and what to do; or "".

    With an untrained LoRA this is the only place where NaN can come from.
    """
    model = objective.model
    batch = batch.on(model.device)
    with objective.network.switched_off():
        texts = model.encode_prompts(batch.captions, objective.settings.clip_skip)
        alpha_bar = objective.alphas_cumprod[batch.timesteps]
        noisy = add_noise(batch.latents, batch.noise, alpha_bar)
        outputs = {
            "the VAE's latents": batch.latents,
            f"the text encoder's output for '{batch.captions[0]}'": texts.context,
            "the U-Net's output": model.predict(noisy, batch.timesteps, texts),
        }
    faulty = next(
        (name for name, values in outputs.items() if not bool(torch.isfinite(values).all())), ""
    )
    if not faulty:
        return ""
    damaged = [
        name
        for name, module in model.targets()
        for parameter in module.parameters()
        if not bool(torch.isfinite(parameter).all())
    ]
    if damaged:
        return (
            f"{len(damaged)} of the checkpoint's own weights are non-finite (first: {damaged[0]});"
            " the file is damaged, train on another"
        )
    if model.compute_dtype == torch.float32:
        return f"{faulty} is non-finite in fp32; train on another checkpoint"
    return (
        f"{faulty} is non-finite without it too. Half precision is too little for this checkpoint:"
        " set training.precision to bf16 or fp32 (the WebUI needs --no-half for fp32), or train on"
        " another"
    )


def check_weights(network: LoraNetwork, epoch: int) -> None:
    """Check the LoRA after an epoch (0-based).

    Raises: TrainingError, when weights are no longer finite.
    """
    diverged = [
        name
        for name, branch in network.items()
        for parameter in branch.parameters()
        if not torch.isfinite(parameter).all()
    ]
    if diverged:
        raise TrainingError(
            f"epoch {epoch + 1}: {len(diverged)} weights are no longer finite (first:"
            f" {diverged[0]}); the epochs saved so far are intact. Lower training.unet_lr (try a"
            " fifth) and train again"
        )


@torch.no_grad()
def text_spread(objective: Objective) -> float:
    """Mean distance between the encodings of unlike prompts, over their mean norm."""
    texts = objective.model.encode_prompts(PROBE_PROMPTS, objective.settings.clip_skip)
    context = texts.context.float().flatten(1)
    distances = torch.pdist(context).mean()
    return float(distances / context.norm(dim=1).mean())


@contextmanager
def out_of_memory(settings: TrainingSettings) -> Iterator[None]:
    """Turn PyTorch's out-of-memory error into one that says what to change.

    Raises: TrainingError.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # On a CPU PyTorch raises a plain RuntimeError, which only its text tells
        text = str(error).lower()
        if (
            isinstance(error, MemoryError)
            or "out of memory" in text
            or "can't allocate memory" in text
        ):
            raise TrainingError(
                "out of memory while training; the epochs saved so far are intact."
                f" {_memory_advice(settings)}"
            ) from error
        raise


def _memory_advice(settings: TrainingSettings) -> str:
    changes = []
    if not settings.gradient_checkpointing:
        changes.append("training.gradient_checkpointing=true (most of what the steps keep)")
    if settings.batch_size > 1:
        changes.append(
            f"training.batch_size=1 with gradient_accumulation={settings.batch_size} (a"
            f" {settings.batch_size}th of it)"
        )
    if any(settings.text_encoder_rates(2)):
        changes.append(
            "training.text_encoder_lr=0 with training.block_weights=OUTD (no pass before OUT03"
            " keeps anything)"
        )
    changes.append("a training.resolution of three quarters (about half of it)")
    return "Set " + ", or ".join(changes[:3])
