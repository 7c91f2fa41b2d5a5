"""Which family a loaded checkpoint is of and what its blocks are, or why it cannot be trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from ...errors import CheckpointError
from ...families.family import UNET, Family, Prediction
from ...families.recognition import EXPECTED
from ...families.sd1 import SD1
from ...families.sd2 import SD2
from ...families.sdxl import SDXL
from ...naming.blocks import BlockLayout
from .program import Program

TRAINED = ("epsilon", "v_prediction")
KINDS = {"is_sd1": SD1, "is_sd2": SD2, "is_sdxl": SDXL}  # the programs' own marks


def family_of(sd_model: Any) -> Family:
    """The family of a loaded checkpoint.

    Raises:
        CheckpointError: it is of none that can be trained.
    """
    for mark, family in KINDS.items():
        if getattr(sd_model, mark, False) and not getattr(sd_model, "is_sd3", False):
            return family
    kind = "Stable Diffusion 3" if getattr(sd_model, "is_sd3", False) else type(sd_model).__name__
    raise CheckpointError(
        f"{sd_model.sd_checkpoint_info.name}: found a checkpoint of another family ({kind}), which"
        f" cannot be trained here, {EXPECTED}; choose one at the top of the page"
    )


def require_trainable(program: Program, sd_model: Any) -> None:
    """Do nothing if the loaded checkpoint can be trained.

    Raises:
        CheckpointError: it cannot, with the reason.
    """
    name = sd_model.sd_checkpoint_info.name
    family = family_of(sd_model)
    _require_parts(program, sd_model, family)
    packed = program.quantization(sd_model)
    if packed:
        raise CheckpointError(
            f"{name}: found its weights packed in {packed}, through which no gradient flows,"
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


def _require_parts(program: Program, sd_model: Any, family: Family) -> None:
    """Do nothing if a checkpoint has all that its family has.

    The programs' marks hold for its relatives too.

    Raises:
        CheckpointError: it is one of these, such as SDXL's refiner.
    """
    name = sd_model.sd_checkpoint_info.name
    found, expected = len(program.text_networks(sd_model)), len(family.text_encoders)
    if found != expected:
        raise CheckpointError(
            f"{name}: found a relative of {family} with {found} text encoder{'s'[: found != 1]},"
            f" such as a refiner, expected {expected}; use the base checkpoint"
        )
    keys = dict(program.unet(sd_model).named_parameters())
    for missing in family.essentials:
        if missing.mark.startswith(UNET) and missing.mark.removeprefix(UNET) not in keys:
            raise CheckpointError(f"{name}: found {missing.kind}, {EXPECTED}; {missing.advice}")


def prediction_of(program: Program, sd_model: Any) -> Prediction:
    """What the U-Net of a checkpoint that can be trained predicts."""
    is_v = program.prediction_type(sd_model) == "v_prediction"
    return "v_prediction" if is_v else "epsilon"


def layout_of(program: Program, sd_model: Any) -> BlockLayout:
    """The layout of a loaded checkpoint, which may be narrower than its family's.

    Raises:
        CheckpointError: it is of no family that can be trained.
    """
    family = family_of(sd_model)
    unet: Any = program.unet(sd_model)
    multipliers = tuple(unet.channel_mult)
    # The first block of each level: its resamplers lie between them.
    firsts = [unet.input_blocks[1 + 3 * level] for level in range(len(multipliers))]
    context = next(
        module.weight.shape[1]
        for name, module in unet.named_modules()
        if name.endswith("attn2.to_k")
    )
    return replace(
        family.layout,
        channels=unet.model_channels,
        multipliers=multipliers,
        depths=tuple(_depth(block) for block in firsts),
        middle_depth=_depth(unet.middle_block),
        context=context,
        vector=unet.label_emb[0][0].weight.shape[1] if family.layout.vector else 0,
    )


def _depth(block: nn.Module) -> int:
    """Transformer blocks of a block of the U-Net, 0 for none."""
    return sum(len(getattr(part, "transformer_blocks", ())) for part in block.children())
