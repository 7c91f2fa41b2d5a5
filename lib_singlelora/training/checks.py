"""What a training notices, and what it tells its user to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..errors import TrainingError
from ..lora.network import LoraNetwork
from ..settings.training import TrainingSettings
from .batch import TrainingBatch
from .noise import add_noise
from .objective import Objective

PROBES = (
    "a dog on a beach",
    "a red car in a city",
    "a portrait of a man",
    "a castle in the mountains",
)
# Share of the plain distance between prompts below which the text encoder tells them apart no more
COLLAPSED = 0.3


def check_loss(value: float, step: int, culprit: Callable[[], str]) -> float:
    """The value.  culprit: what gives no numbers without the LoRA too, or nothing; asked only when
    needed.

    Raises: TrainingError, when it is no number.
    """
    if math.isfinite(value):
        return value
    if guilty := culprit():
        raise TrainingError(
            f"step {step}: the loss is {value}, expected a number, and the LoRA is not to blame:"
            f" {guilty}"
        )
    raise TrainingError(
        f"step {step}: the loss is {value}, expected a number; the epochs saved so far are whole."
        " Lower training.unet_lr (try a fifth) and train again"
    )


@torch.no_grad()
def culprit(objective: Objective, drawn: TrainingBatch) -> str:
    """What of the checkpoint gives no numbers for a batch when no LoRA is on it, and what to do; or
    nothing.

    With an untrained LoRA this is the only place where NaN can come from.
    """
    model, device = objective.model, objective.model.device
    latents, noise = drawn.latents.to(device), drawn.noise.to(device)
    with objective.network.switched_off():
        texts = model.encode_prompts(drawn.captions, objective.settings.clip_skip)
        timesteps = drawn.timesteps.to(device)
        noisy = add_noise(latents, noise, objective.alphas_cumprod[timesteps])
        found = {
            "the latents": latents,
            f"the text encoder's answer to '{drawn.captions[0]}'": texts.context,
            "the U-Net's answer": model.predict(noisy, timesteps, texts),
        }
    broken = next(
        (name for name, values in found.items() if not bool(torch.isfinite(values).all())), ""
    )
    if not broken:
        return ""
    bad = [
        name
        for name, module in model.targets()
        for p in module.parameters()
        if not bool(torch.isfinite(p).all())
    ]
    if bad:
        return (
            f"{len(bad)} of the checkpoint's own weights are no numbers (first: {bad[0]}); the file"
            " is damaged, train on another"
        )
    if model.compute_dtype == torch.float32:
        return f"{broken} is no number in fp32; train on another checkpoint"
    return (
        f"{broken} is no number without it either. Half precision is too little for this"
        " checkpoint: set training.precision to bf16 or fp32 (the WebUI wants --no-half for fp32),"
        " or train on another"
    )


def check_weights(network: LoraNetwork, epoch: int) -> None:
    """Raises: TrainingError, when weights are no numbers any more."""
    bad = [
        name
        for name, branch in network.items()
        for p in branch.parameters()
        if not torch.isfinite(p).all()
    ]
    if bad:
        raise TrainingError(
            f"epoch {epoch + 1}: {len(bad)} weights are not numbers any more (first: {bad[0]}); the"
            " epochs saved so far are whole. Lower training.unet_lr (try a fifth) and train again"
        )


@torch.no_grad()
def text_spread(objective: Objective) -> float:
    """Mean distance between the encodings of different prompts, in units of their length."""
    context = (
        objective.model.encode_prompts(PROBES, objective.settings.clip_skip)
        .context.float()
        .flatten(1)
    )
    distances = torch.pdist(context).mean()
    return float(distances / context.norm(dim=1).mean())


@contextmanager
def out_of_memory(settings: TrainingSettings) -> Iterator[None]:
    """Turn torch's error into one that says what to change.  Raises: TrainingError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if (
            isinstance(error, MemoryError)
            or "out of memory" in text
            or "can't allocate memory" in text
        ):
            advice = _advice(settings)
            raise TrainingError(
                f"out of memory while training; the epochs saved so far are whole. {advice}"
            ) from error
        raise


def _advice(settings: TrainingSettings) -> str:
    found = []
    if not settings.gradient_checkpointing:
        found.append("training.gradient_checkpointing=true (most of what the steps keep)")
    if settings.batch_size > 1:
        found.append(
            f"training.batch_size=1 with gradient_accumulation={settings.batch_size} (a"
            f" {settings.batch_size}th of it)"
        )
    if settings.text_encoder_lr:
        found.append(
            "training.text_encoder_lr=0 with training.block_weights=OUTD (no pass before OUT03"
            " keeps anything)"
        )
    found.append("a training.resolution three quarters of now (about half of it)")
    return "Set " + ", or ".join(found[:3])
