"""SDXL: two text encoders side by side, a picture's sizes as conditioning, 1024 pixels.

Illustrious XL, NoobAI and Pony are SDXL.

Source: Stability-AI/generative-models, configs/inference/sd_xl_base.yaml; AUTOMATIC1111 1.10.1,
modules/sd_models_xl.py and modules/sd_hijack_open_clip.py; sd-scripts 0.9.1,
library/sai_model_spec.py, for the metadata.
"""

from __future__ import annotations

from ..family import UNET, Family, Stranger, TextEncoder
from ..layout import BlockLayout

_CLIP_L = TextEncoder(
    prefix="te1.",
    kohya="lora_te1_",
    layers=12,
    width=768,
    keys="conditioner.embedders.0.transformer.",
    skipped=2,
)
_CLIP_BIG_G = TextEncoder(
    prefix="te2.",
    kohya="lora_te2_",
    layers=32,
    width=1280,
    keys="conditioner.embedders.1.model.",
    dialect="open_clip",
    skipped=2,
    pad=0,
    pooled=True,
    activation="gelu",
    embedding="clip_g",
)

SDXL = Family(
    title="SDXL",
    layout=BlockLayout(
        "sdxl",
        multipliers=(1, 2, 4),
        depths=(0, 2, 10),
        middle_depth=10,
        context=2048,
        text=(_CLIP_L.names, _CLIP_BIG_G.names),
        vector=2816,
        linear_projections=True,
        kohya_middle=3,
        ldm_stems=True,
        # Frenkel et al. 2024 (B-LoRA), Wang et al. 2024 (InstantStyle)
        roles=(
            ("IN07", "composition"),
            ("IN08", "composition"),
            ("M00", "composition"),
            ("OUT00", "outline"),
            ("OUT01", "style"),
            ("OUT02", "style"),
        ),
    ),
    text_encoders=(_CLIP_L, _CLIP_BIG_G),
    native_size=1024,
    vae_scale=0.13025,
    base_model_version="sdxl_base_v1-0",
    architecture="stable-diffusion-xl-v1-base",
    implementation="https://github.com/Stability-AI/generative-models",
    kohya_switch="sdxl",
    kohya_program="sdxl_train_network.py",
    marks=("conditioner.embedders.1.model.",),
    config="sd_xl_base.yaml",
    # A card sold as one of 12 GB tells a little less; there the calculated peak decides
    checkpointing_below=11.5 * 2**30,
    preset="recommended-sdxl",
    v_preset="recommended-sdxl-v",
    vae_overflows=True,
    takes_sizes=True,
    zeroes_empty_negative=True,
    relatives=(
        Stranger(
            "an SDXL refiner",
            r"conditioner\.embedders\.0\.model\.",
            "use the base checkpoint: a refiner only finishes its pictures",
        ),
    ),
    essentials=(
        Stranger(
            "a distilled SDXL such as SSD-1B, which lacks blocks",
            f"{UNET}middle_block.1.transformer_blocks.0.attn1.to_q.weight",
            "use the SDXL checkpoint that it was made from",
        ),
    ),
)
