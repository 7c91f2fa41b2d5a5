"""Settings of inpainting with the trained LoRA."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting
from .drawing import DrawingSettings


@dataclass(frozen=True)
class InpaintSettings(DrawingSettings):
    """Inpainting."""

    prompt: str = setting(
        "", label="Prompt", help="Empty: trigger, class, and what captions name in the masked part."
    )
    parts: tuple[str, ...] = setting(
        (),
        label="Parts",
        help=(
            "Without a mask: parts to redraw, such as head,hat,hair,torso,left sleeve,skirt,feet, "
            "or another pose. Empty: the head, or inpaint/mask.png."
        ),
    )
    pose: str = setting(
        "sitting",
        label="Pose",
        help="For another pose: what the checkpoint draws the class in, to be redrawn.",
    )
    count: int = setting(
        4, label="Pictures", low=1, high=100, help="Number of results to choose from."
    )
    tries: int = setting(
        1,
        label="Tries",
        low=1,
        high=16,
        help=(
            "Pictures drawn for each that is kept: those nearest to what was there, or to the "
            "source's figure, are kept. 1: all are kept."
        ),
    )
    lora: str = setting(
        "",
        label="LoRA",
        path="program",
        help="Number of an epoch, or a file. Empty: the recommended one, else the last.",
    )
    strength: float = setting(
        0.0,
        label="Strength",
        low=-4,
        high=4,
        help="LoRA strength; 0.4 to 0.6 when it is overfit. 0: the recommended one, else 0.8.",
    )
    preset: str = setting(
        "",
        label="Block preset",
        help=(
            "Block-weight preset; OUTD keeps the picture's composition. Empty: the recommended "
            "one, else ALL."
        ),
    )
    denoise: float = setting(
        0.75,
        label="Denoising strength",
        low=0,
        high=1,
        help="How far the result may depart from the original: 0.4 touches up, 0.75 redraws.",
    )
    redraw: str = setting(
        "masked part",
        label="Redraw",
        choices=("masked part", "whole picture"),
        help=(
            "whole picture is img2img: at a low LoRA strength it repairs what an overfit LoRA drew."
        ),
    )
    area: str = setting(
        "automatic",
        label="Inpaint area",
        choices=("automatic", "whole picture", "only masked"),
        help=(
            "only masked draws the masked part at full resolution and leaves the rest untouched; "
            "automatic does so in a picture larger than the model's size."
        ),
    )
    padding: int = setting(
        32,
        label="Only masked padding",
        low=0,
        high=512,
        unit="px",
        help="Context around the mask for 'only masked'; raise it when the part does not blend in.",
    )
    mask_blur: int = setting(
        4,
        label="Mask blur",
        low=0,
        high=64,
        unit="px",
        help=(
            "Width of the soft seam, in pixels of what is drawn: it grows with a part that is "
            "drawn smaller than it is."
        ),
    )
    fill: str = setting(
        "original",
        label="Masked content",
        choices=("fill", "original", "latent noise", "latent nothing"),
        help=(
            "What the masked part starts from; latent noise draws something new there, at a "
            "denoising strength near 1."
        ),
    )
    controlnet: str = setting(
        "off",
        label="ControlNet",
        choices=("off", "inpaint", "reference", "both"),
        help=(
            "Units of the WebUI's extension ControlNet, where it is installed: a model for "
            "inpainting, and the source picture as reference."
        ),
    )
    controlnet_weight: float = setting(
        1.0, label="ControlNet weight", low=0, high=2, help="Weight of each of these units."
    )
    seed: int = setting(
        1,
        label="Seed",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help="First seed; picture n uses seed + n.",
    )
