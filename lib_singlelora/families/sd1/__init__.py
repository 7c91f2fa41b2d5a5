"""Stable Diffusion 1: one CLIP text encoder, 512 pixels.

Source: CompVis/stable-diffusion, configs/stable-diffusion/v1-inference.yaml; sd-scripts 0.9.1,
library/sai_model_spec.py, for the metadata.
"""

from __future__ import annotations

from ..family import Family, TextEncoder
from ..layout import BlockLayout

_CLIP_L = TextEncoder(
    prefix="",
    kohya="lora_te_",
    layers=12,
    width=768,
    keys="cond_stage_model.transformer.",
    follows_clip_skip=True,
    final_norm=True,
)

SD1 = Family(
    title="Stable Diffusion 1",
    layout=BlockLayout(
        "sd1",
        multipliers=(1, 2, 4, 4),
        depths=(1, 1, 1, 0),
        middle_depth=1,
        context=768,
        text=(_CLIP_L.names,),
    ),
    text_encoders=(_CLIP_L,),
    native_size=512,
    vae_scale=0.18215,
    heads=8,
    base_model_version="sd_v1",
    architecture="stable-diffusion-v1",
    marks=("cond_stage_model.transformer.",),
    config="v1-inference.yaml",
)
