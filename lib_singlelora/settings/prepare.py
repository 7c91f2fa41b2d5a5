"""Settings of the picture itself: its size, its background, what is cleaned."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class PrepareSettings:
    """The picture before it is cut."""

    long_side: int = setting(
        2048,
        label="Long side",
        low=64,
        high=8192,
        unit="px",
        help="A smaller picture is enlarged until its long side has this length.",
    )
    upscaler: str = setting(
        "",
        label="Upscaler",
        path="program",
        help=(
            "A model file (ESRGAN and its relatives, .safetensors or .pth), the name "
            "of one of the host's upscalers, or Lanczos; empty: the host's best, else Lanczos."
        ),
    )
    square: bool = setting(
        False,
        label="Widen to a square",
        help=(
            "Adds plain background at the sides of a tall picture, for a "
            "checkpoint that draws squares only; other pictures keep their shape."
        ),
    )
    clean_artifacts: str = setting(
        "off",
        label="Clean artifacts",
        choices=("off", "all", "stray", "ringing", "jpeg"),
        pattern=r"(\d+|stray|ringing|jpeg)(\s*,\s*(\d+|stray|ringing|jpeg))*",
        pattern_means="numbers from the list, such as 1,3",
        help=(
            "What does not belong to the drawing is always shown in source/artifacts.png; this"
            " paints it over."
        ),
    )
    mask: str = setting(
        "auto",
        label="Mask by",
        choices=("auto", "transparency", "model", "flat", "scenery", "grabcut", "none"),
        help=(
            "How the character is told from the background; auto takes the first of these that"
            " works. A source/mask.png edited by hand goes before all."
        ),
    )
    matting_model: str = setting(
        "",
        label="Matting model",
        path="program",
        help=(
            "ONNX file as rembg uses them, or a name that is downloaded once: isnet-anime "
            "(drawings), isnet-general-use, u2net, u2netp (5 MB)."
        ),
    )
    background: str = setting(
        "white",
        label="Background",
        choices=("white", "grey", "keep"),
        pattern=r"#[0-9a-fA-F]{6}",
        pattern_means="a colour such as #8fc0a0",
        help="What replaces a transparent or removed background; 'keep' leaves the picture's own.",
    )
