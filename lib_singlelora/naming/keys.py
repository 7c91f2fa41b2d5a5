"""Module names: canonical ↔ diffusers ↔ kohya.

The canonical name is ldm's dotted one, without `model.diffusion_model.`:

    U-Net             input_blocks.4.1.transformer_blocks.0.attn1.to_q
    text encoder      text_model.encoder.layers.0.self_attn.q_proj
    SDXL's two        te1.text_model.encoder.layers.0.self_attn.q_proj    te2.text_model. …

diffusers names the U-Net's modules otherwise (down_blocks.1.attentions.0. …) and the text encoders'
alike, so those pass unchanged.  kohya's stem joins a dotted name by `_`: for SD1 and SD2 diffusers'
one, for SDXL the canonical one. A stem cannot be cut back at its `_`, so it is looked up among the
stems of all modules of the layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from ..errors import LoraKeyError
from .blocks import BlockLayout, is_text
from .modules import lora_targets, module_names, upsampler_place

__all__ = [
    "canonical_to_diffusers",
    "canonical_to_kohya",
    "diffusers_to_canonical",
    "kohya_to_canonical",
    "lora_shapes",
    "module_names",
]

_SINGLES = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_SINGLES_BACK = {diffusers: canonical for canonical, diffusers in _SINGLES.items()}
_RES_PARTS = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_RES_PARTS_BACK = {diffusers: canonical for canonical, diffusers in _RES_PARTS.items()}

_LDM = re.compile(r"(input_blocks|middle_block|output_blocks)(?:\.(\d+))?\.(\d+)\.(.+)")
_DIFFUSERS = re.compile(
    r"(?:(down|up)_blocks\.(\d+)|mid_block)"
    r"\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


def canonical_to_diffusers(name: str, layout: BlockLayout) -> str:
    """diffusers' dotted name, such as down_blocks.1.attentions.0.proj_in.

    A text encoder's name stays as it is.

    Raises: LoraKeyError, when the name follows no rule.
    """
    if is_text(name):
        return name
    if name in _SINGLES:
        return _SINGLES[name]
    match = _LDM.fullmatch(name)
    if match is None:
        raise _unknown(name, "canonical", layout)
    side = match[1]
    index = int(match[2] or 0)
    place = int(match[3])
    part = match[4]
    if side == "middle_block":
        where = "mid_block.attentions.0" if place == 1 else f"mid_block.resnets.{place // 2}"
    elif side == "input_blocks":
        block, layer = divmod(index - 1, 3)
        if part == "op":
            return f"down_blocks.{block}.downsamplers.0.conv"
        where = f"down_blocks.{block}.{'attentions' if place else 'resnets'}.{layer}"
    else:
        block, layer = divmod(index, 3)
        if part == "conv":
            return f"up_blocks.{block}.upsamplers.0.conv"
        where = f"up_blocks.{block}.{'attentions' if place else 'resnets'}.{layer}"
    return f"{where}.{_RES_PARTS.get(part, part)}"


def diffusers_to_canonical(name: str, layout: BlockLayout) -> str:
    """The canonical name of a module that diffusers calls `name`; a text encoder's name as it is.

    Raises: LoraKeyError, when the name follows no rule.
    """
    if is_text(name):
        return name
    if name in _SINGLES_BACK:
        return _SINGLES_BACK[name]
    match = _DIFFUSERS.fullmatch(name)
    if match is None:
        raise _unknown(name, "diffusers", layout)
    side = match[1]
    block = int(match[2] or 0)
    kind = match[3]
    layer = int(match[4])
    part = match[5]
    part = _RES_PARTS_BACK.get(part, part) if kind == "resnets" else part
    if side is None:
        return f"middle_block.{1 if kind == 'attentions' else 2 * layer}.{part}"
    if kind == "downsamplers":
        return f"input_blocks.{3 * block + 3}.0.op"
    if kind == "upsamplers":
        index = 3 * block + 2
        return f"output_blocks.{index}.{upsampler_place(index, layout)}.conv"
    index = 3 * block + layer + (1 if side == "down" else 0)
    blocks = "input_blocks" if side == "down" else "output_blocks"
    return f"{blocks}.{index}.{1 if kind == 'attentions' else 0}.{part}"


def canonical_to_kohya(name: str, layout: BlockLayout) -> str:
    """kohya's stem of a module.

    Such as lora_unet_down_blocks_1_attentions_0_proj_in (SD1) or
    lora_unet_input_blocks_4_1_proj_in (SDXL).
    Raises: LoraKeyError, when the name follows no rule.
    """
    if is_text(name):
        for prefix, kohya, _, _ in layout.text:
            if name.startswith(f"{prefix}text_model."):
                return kohya + name[len(prefix) :].replace(".", "_")
        raise _unknown(name, "canonical", layout)
    dotted = name if layout.ldm_stems else canonical_to_diffusers(name, layout)
    return "lora_unet_" + dotted.replace(".", "_")


@cache
def stems(layout: BlockLayout) -> Mapping[str, str]:
    """kohya stem -> canonical name, of every module of the layout.

    U-Net modules have both their ldm and their diffusers stems.
    SDXL files of other trainers use diffusers' stems, and SD1 files ldm's; the WebUI reads both.
    """
    table = {}
    for name in module_names(layout, norms=True):
        table[canonical_to_kohya(name, layout)] = name
        if not is_text(name):
            table["lora_unet_" + name.replace(".", "_")] = name
            table["lora_unet_" + canonical_to_diffusers(name, layout).replace(".", "_")] = name
    return MappingProxyType(table)


def kohya_to_canonical(stem: str, layout: BlockLayout) -> str:
    """The canonical name of the module with this kohya stem.

    Raises: LoraKeyError, when the layout has no such module.
    """
    try:
        return stems(layout)[stem]
    except KeyError:
        raise _unknown(stem, "kohya", layout) from None


def lora_shapes(
    layout: BlockLayout, rank: int, conv_rank: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Key -> shape, of every tensor of a LoRA as sd-scripts writes it.

    conv_rank: rank of the 3×3 convolutions, None for none.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for spec in lora_targets(layout, conv_rank is not None):
        stem = canonical_to_kohya(spec.name, layout)
        inner = conv_rank if spec.is_wide and conv_rank is not None else rank
        shapes[f"{stem}.alpha"] = ()
        shapes[f"{stem}.lora_down.weight"] = (inner, *spec.shape[1:])
        shapes[f"{stem}.lora_up.weight"] = (spec.shape[0], inner, *(1 for _ in spec.shape[2:]))
    return shapes


def _unknown(name: str, dialect: str, layout: BlockLayout) -> LoraKeyError:
    return LoraKeyError(
        f"{name!r}: matches no {layout.name} module, expected a {dialect} name of one; "
        "was it made for another base model?"
    )
