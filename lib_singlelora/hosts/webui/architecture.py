"""What the loaded checkpoint is: its family and its blocks, or why it cannot be trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import nn

from ...errors import CheckpointError
from ...families.family import Family
from ...families.recognition import EDM_MARK, recognize
from ...naming.blocks import BlockLayout
from . import v_prediction

if TYPE_CHECKING:
    from modules.sd_models_types import WebuiSdModel

# Model -> (file, family).  Asked for every second, and while a training has packed the weights,
# whose shapes are others then.
_recognized: WeakKeyDictionary[nn.Module, tuple[str, Family]] = WeakKeyDictionary()


def require_model(sd_model: WebuiSdModel | None) -> WebuiSdModel:
    """The loaded checkpoint.

    Raises:
        CheckpointError: none is loaded.
    """
    if sd_model is None:
        raise CheckpointError(
            "found no checkpoint loaded in the WebUI, expected one of Stable Diffusion; choose one"
            " at the top of the page"
        )
    return sd_model


def family_of(sd_model: WebuiSdModel) -> Family:
    """The family of the loaded checkpoint.

    Raises:
        CheckpointError: it is of none that can be trained; what it is, and what to do.
    """
    info = sd_model.sd_checkpoint_info
    known = _recognized.get(sd_model)
    if known is None or known[0] != info.filename:
        shapes = {**_marks_of_schedules(Path(info.filename)), **dict(_shapes(sd_model))}
        known = info.filename, recognize(shapes, info.name)
        _recognized[sd_model] = known
    return known[1]


def _marks_of_schedules(path: Path) -> dict[str, tuple[int, ...]]:
    """What the file says of a schedule that the WebUI knows nothing of, and drops."""
    header = v_prediction.header_of(path)
    shapes = header.shapes if header else {}
    return {key: shape for key, shape in shapes.items() if key.startswith(EDM_MARK)}


def _shapes(sd_model: WebuiSdModel) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Key -> shape as the checkpoint's file has them.

    The WebUI puts wrappers around text encoders, and a second name to sgm's conditioner.
    """
    is_sgm = hasattr(sd_model, "conditioner")
    for key, tensor in sd_model.state_dict().items():
        if not (is_sgm and key.startswith("cond_stage_model.")):
            yield key.replace(".wrapped.", "."), tuple(tensor.shape)


def require_trainable(sd_model: WebuiSdModel | None) -> None:
    """Do nothing if the loaded checkpoint can be trained and drawn with.

    Raises:
        CheckpointError: none is loaded, one that cannot be trained, or one that the WebUI takes for
            what it is not, with the reason.
    """
    sd_model = require_model(sd_model)
    family_of(sd_model)
    v_prediction.require_right_prediction(sd_model)


def layout_of(sd_model: WebuiSdModel) -> BlockLayout:
    """The layout of the loaded checkpoint, which may be narrower than its family's.

    Raises:
        CheckpointError: it is of no family that can be trained.
    """
    family = family_of(sd_model)
    unet: Any = sd_model.model.diffusion_model
    multipliers = tuple(unet.channel_mult)
    # The first block of each level: its resamplers lie between them.
    firsts = [unet.input_blocks[1 + 3 * level] for level in range(len(multipliers))]
    context = next(
        module.in_features for name, module in unet.named_modules() if name.endswith("attn2.to_k")
    )
    return replace(
        family.layout,
        channels=unet.model_channels,
        multipliers=multipliers,
        depths=tuple(_depth(block) for block in firsts),
        middle_depth=_depth(unet.middle_block),
        context=context,
        vector=unet.label_emb[0][0].in_features if family.layout.vector else 0,
    )


def _depth(block: nn.Module) -> int:
    """Transformer blocks of a block of the U-Net, 0 for none."""
    return sum(len(getattr(part, "transformer_blocks", ())) for part in block.children())
