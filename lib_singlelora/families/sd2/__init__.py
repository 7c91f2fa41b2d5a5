"""Stable Diffusion 2: OpenCLIP's ViT-H as the text encoder, 768 pixels.

Source: Stability-AI/stablediffusion, configs/stable-diffusion/v2-inference-v.yaml; AUTOMATIC1111
1.10.1, modules/sd_hijack_open_clip.py, for the padding.
"""

from __future__ import annotations

from ..family import Family, Stranger, TextEncoder
from ..layout import BlockLayout

# 24 layers, of which the last is never computed: the one before it is taken.
_CLIP_H = TextEncoder(
    prefix="",
    kohya="lora_te_",
    layers=23,
    width=1024,
    keys="cond_stage_model.model.",
    dialect="open_clip",
    skipped=2,
    unused=1,
    final_norm=True,
    pad=0,
    activation="gelu",
)

SD2 = Family(
    title="Stable Diffusion 2",
    layout=BlockLayout(
        "sd2",
        multipliers=(1, 2, 4, 4),
        depths=(1, 1, 1, 0),
        middle_depth=1,
        context=1024,
        text=(_CLIP_H.names,),
        linear_projections=True,
    ),
    text_encoders=(_CLIP_H,),
    native_size=768,
    vae_scale=0.18215,
    measures_prediction=True,  # 512-base-ema predicts epsilon, 768-v-ema v
    base_model_version="sd_v2",
    architecture="stable-diffusion-v2-512",
    architecture_v="stable-diffusion-v2-768-v",
    kohya_switch="v2",
    marks=("cond_stage_model.model.",),
    config="v2-inference-v.yaml",
    relatives=(
        Stranger(
            "a Stable Diffusion 2 unCLIP checkpoint",
            r"embedder\.model\.",
            "use the Stable Diffusion 2 that it was made from",
        ),
    ),
    is_v2=True,
)
