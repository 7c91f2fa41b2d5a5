"""Loss terms that compare with the frozen checkpoint, and what they need."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from ..captions.trigger_text import has_trigger
from ..errors import TrainingError
from ..settings.training import TrainingSettings
from .epoch_plan import Picture


def dco_loss(loss: Tensor, reference: Tensor, beta: float) -> Tensor:
    """-2/β log σ(-β (L_θ - L_ref)), (B,).

    Where both are alike its gradient is that of the loss itself, twice as much where the LoRA is
    worse than the checkpoint, and none where it is better by some 1/β.
    loss, reference: (B,), of the network and of the frozen model on the same noisy latents.
    beta: β, in the paper's program 1000.
    Source: Lee et al. 2024, "Direct Consistency Optimization for Robust Customization of
        Text-to-Image Diffusion Models", arXiv 2402.12004; kyungmnlee/dco customize.py, for one
        sample.  The factor 2/β is ours: without it the loss grows with β, and a term beside it, or
        the clipping of gradients, would count for β/2 times less.
    """
    return -F.logsigmoid(-beta * (loss - reference)) * (2 / beta)


def check_terms(settings: TrainingSettings, pictures: Sequence[Picture]) -> None:
    """Check that the pictures have what the loss terms need.

    Raises: TrainingError, naming the picture and what to do.
    """
    character = [picture for picture in pictures if not picture.regularization]
    if settings.masked_prior_weight:
        without = [picture for picture in character if picture.mask is None]
        if without:
            raise TrainingError(
                f"training.masked_prior_weight: {len(without)} of {len(character)} pictures have no"
                f" mask (first: {without[0].path.name}), expected one for each; make crops of the"
                " prepared picture, take your own pictures out, or set it to 0"
            )
    if settings.dop_weight:
        nameless = [picture for picture in character if not picture.class_token.strip()]
        if nameless:
            raise TrainingError(
                "training.dop_weight: found no class to put in the trigger's place, expected one;"
                " set character.class_token, or set it to 0"
            )
        if not any(has_trigger(picture.caption, picture.trigger) for picture in character):
            raise TrainingError(
                "training.dop_weight: no caption has the trigger"
                f" '{character[0].trigger if character else ''}', expected it in at least one:"
                " there is nothing to replace by the class; caption the pictures, or set it to 0"
            )
    if settings.dco_beta and len(character) < len(pictures):
        raise TrainingError(
            f"training.dco_beta: found {len(pictures) - len(character)} pictures of the class,"
            " expected none: it keeps what the checkpoint knows by itself, and compares nothing on"
            " the class; set training.regularization to none or prior prediction, or set it to 0"
        )
    shown = [each for each in character if has_trigger(each.caption, each.trigger)]
    if settings.attention_loss and not any(picture.mask for picture in shown):
        raise TrainingError(
            f"training.attention_loss: {len(shown)} of {len(character)} pictures have the trigger"
            " in their caption, and none of those a mask, expected one at least; make crops of the"
            " prepared picture, caption them, or set it to 0"
        )
