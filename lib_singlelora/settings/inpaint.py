"""Settings of the inpainting bench."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting
from .drawing import DrawingSettings


@dataclass(frozen=True)
class InpaintSettings(DrawingSettings):
    """Drawing her into a picture at once."""

    prompt: str = setting(
        "", label="Prompt", help="Empty: trigger, class, and what she wears in the masked part."
    )
    count: int = setting(4, label="Pictures", low=1, high=100, help="How many to choose from.")
    lora: str = setting(
        "",
        label="LoRA",
        path="program",
        help="An epoch's number or a file; empty takes the recommended one, else the last.",
    )
    strength: float = setting(
        0.8,
        label="Strength",
        low=-4,
        high=4,
        help="Strength of the LoRA; 0.4 to 0.6 when it is overfit.",
    )
    preset: str = setting(
        "ALL",
        label="Block preset",
        help="Block-weight preset; OUTD keeps the picture's composition.",
    )
    denoise: float = setting(
        0.75,
        label="Denoise",
        low=0,
        high=1,
        help="How far the result may leave the original: 0.4 mends, 0.75 redraws.",
    )
    redraw: str = setting(
        "masked part",
        label="Redraw",
        choices=("masked part", "whole picture"),
        help="'whole picture' is img2img: with a low strength it cures what an overfit LoRA drew.",
    )
    area: str = setting(
        "whole picture",
        label="Inpaint area",
        choices=("whole picture", "only masked"),
        help=(
            "'only masked' draws the masked part at full resolution: for faces and hands in a large"
            " picture."
        ),
    )
    padding: int = setting(
        32,
        label="Padding",
        low=0,
        high=512,
        unit="px",
        help="What 'only masked' sees around the mask; more when the part does not fit in.",
    )
    fill: str = setting(
        "original",
        label="Masked content",
        choices=("fill", "original", "latent noise", "latent nothing"),
        help=(
            "What the masked part starts from; 'latent noise' for something new there (denoise"
            " near 1)."
        ),
    )
    seed: int = setting(
        1,
        label="Seed",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help="First seed; picture n uses seed + n.",
    )
