"""What a training notices, and what it tells its user to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import TrainingError
from ..lora.network import LoraNetwork
from ..settings_training import TrainingSettings
from .objective import Objective

PROBES = ("a dog on a beach", "a red car in a city", "a portrait of a man", "a castle in the mountains")
COLLAPSED = 0.3  # share of the plain distance between prompts below which the text encoder tells them apart no more


def check_loss(value: float, step: int) -> float:
    """The value.  Raises: TrainingError, when it is no number."""
    if math.isfinite(value):
        return value
    raise TrainingError(f"step {step}: the loss is {value}, expected a number; the epochs saved so far are whole. Lower "
                        "training.unet_lr (try a fifth), or set training.precision to fp32, and train again")


def check_weights(network: LoraNetwork, epoch: int) -> None:
    """Raises: TrainingError, when weights are no numbers any more."""
    bad = [name for name, branch in network.items() for p in branch.parameters() if not torch.isfinite(p).all()]
    if bad:
        raise TrainingError(f"epoch {epoch + 1}: {len(bad)} weights are not numbers any more (first: {bad[0]}); the epochs "
                            "saved so far are whole. Lower training.unet_lr (try a fifth) and train again")


@torch.no_grad()
def text_spread(objective: Objective) -> float:
    """Mean distance between the encodings of different prompts, in units of their length."""
    context = objective.model.encode_prompts(PROBES, objective.settings.clip_skip).context.float().flatten(1)
    distances = torch.pdist(context).mean()
    return float(distances / context.norm(dim=1).mean())


@contextmanager
def out_of_memory(settings: TrainingSettings) -> Iterator[None]:
    """Turn torch's error into one that says what to change.  Raises: TrainingError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            advice = _advice(settings)
            raise TrainingError(f"out of memory while training; the epochs saved so far are whole. {advice}") from error
        raise


def _advice(settings: TrainingSettings) -> str:
    found = []
    if not settings.gradient_checkpointing:
        found.append("training.gradient_checkpointing=true (most of what the steps keep)")
    if settings.batch_size > 1:
        found.append(f"training.batch_size=1 with gradient_accumulation={settings.batch_size} (a {settings.batch_size}th of it)")
    if settings.text_encoder_lr:
        found.append("training.text_encoder_lr=0 with training.block_weights=OUTD (no pass before OUT03 keeps anything)")
    found.append("a training.resolution three quarters of now (about half of it)")
    return "Set " + ", or ".join(found[:3])
