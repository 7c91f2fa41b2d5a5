"""Settings of the picture itself: its size, its background, what is cleaned."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class PrepareSettings:
    """Picture."""

    long_side: int = setting(
        2048,
        label="Long side",
        low=64,
        high=8192,
        unit="px",
        help="Smaller pictures are upscaled until their long side has this length.",
    )
    upscaler: str = setting(
        "",
        label="Upscaler",
        path="program",
        help=(
            "A model file (ESRGAN family, .safetensors or .pth), the name of one of the host's "
            "upscalers, or Lanczos. Empty: the host's best, else Lanczos."
        ),
    )
    square: bool = setting(
        False,
        label="Pad to a square",
        help=(
            "Pads a tall picture with its background at the sides, of one colour or of rows, for a "
            "checkpoint that generates squares only; other pictures keep their shape."
        ),
    )
    clean_artifacts: str = setting(
        "off",
        label="Clean artifacts",
        choices=("off", "all", "stray", "ringing", "jpeg"),
        pattern=r"(\d+|stray|ringing|jpeg)(\s*,\s*(\d+|stray|ringing|jpeg))*",
        pattern_means="numbers from the list, such as 1,3",
        help=(
            "Which of the detected artifacts are painted over; source/artifacts.png always shows "
            "all of them."
        ),
    )
    mask: str = setting(
        "auto",
        label="Mask from",
        choices=("auto", "transparency", "model", "flat", "scenery", "grabcut", "none"),
        help=(
            "How the character is separated from the background; auto uses the first of these "
            "that works. A source/mask.png edited by hand takes precedence."
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
        help="Replaces a transparent or removed background; keep leaves the picture's own.",
    )
