"""Which family a loaded checkpoint is of, and why another one cannot be trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import CheckpointError
from ...naming.blocks import SD1, BlockLayout
from .program import Program

TRAINED = "epsilon", "v_prediction"
EXPECTED = "expected Stable Diffusion 1.x"


def layout_of(program: Program, sd_model: Any) -> BlockLayout:
    """The layout of a loaded checkpoint.

    Raises:
        CheckpointError: one that cannot be trained, with the reason.
    """
    name = sd_model.sd_checkpoint_info.name
    kind = _stranger(sd_model)
    if kind:
        raise CheckpointError(
            f"{name}: found {kind}, which cannot be trained here, {EXPECTED}; choose one at the top"
            " of the page"
        )
    packed = program.quantization(sd_model)
    if packed:
        raise CheckpointError(
            f"{name}: found its weights packed in {packed}, which nothing can be trained on,"
            " expected plain numbers; set Diffusion in Low Bits to Automatic, or choose the"
            " checkpoint that it was made from"
        )
    prediction = program.prediction_type(sd_model)
    if prediction not in TRAINED:
        raise CheckpointError(
            f"{name}: found a checkpoint that predicts by {prediction}, expected one that predicts"
            " noise or velocity (epsilon or v-prediction)"
        )
    unet: Any = program.unet(sd_model)
    channels = unet.input_blocks[0][0].weight.shape[1]
    if channels != 4:
        kind = "an inpainting checkpoint" if channels == 9 else "a checkpoint"
        raise CheckpointError(
            f"{name}: found {kind} with {channels} input channels, expected 4; train on the base"
            " checkpoint that it was made from: the LoRA works in the inpainting one too"
        )
    context = next(
        module.weight.shape[1]
        for name, module in unet.named_modules()
        if name.endswith("attn2.to_k")
    )
    return replace(
        SD1, channels=unet.model_channels, multipliers=tuple(unet.channel_mult), context=context
    )


def _stranger(sd_model: Any) -> str:
    """What a checkpoint is that no family of ours is; '' for one of ours."""
    if getattr(sd_model, "is_sd3", False):
        return "a Stable Diffusion 3 checkpoint"
    if getattr(sd_model, "is_sdxl", False):
        return "an SDXL checkpoint"
    if getattr(sd_model, "is_sd1", False):
        return ""
    if getattr(sd_model, "is_sd2", False):
        return "a Stable Diffusion 2 checkpoint"
    return f"a checkpoint of another family ({type(sd_model).__name__})"
