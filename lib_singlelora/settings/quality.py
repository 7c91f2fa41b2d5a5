"""Settings of the quality tags, and of how exactly pictures are computed."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.quality import AUTO, quality_names
from .declare import setting


@dataclass(frozen=True)
class QualitySettings:
    """Quality.

    Tags of every prompt that is drawn, and of the character's captions where that is asked for;
    and how exactly pictures are computed.
    """

    tags: str = setting(
        AUTO,
        label="Quality tags",
        choices=quality_names(),
        help=(
            "What Illustrious, NoobAI, Pony or Animagine understand by quality; auto goes by the "
            "SDXL checkpoint's name and adds none to others."
        ),
    )
    positive: str = setting(
        "",
        label="Own quality tags",
        help="In place of the preset's tags in prompts; empty keeps them.",
    )
    negative: str = setting(
        "",
        label="Own negative tags",
        help="In place of the preset's tags in negative prompts; empty keeps them.",
    )
    in_captions: bool = setting(
        False,
        label="Quality tags in captions",
        help=(
            "Ends every caption with the positive tags too, so that the LoRA learns the picture as "
            "one of that quality; off leaves them to the checkpoint."
        ),
    )
    fast_convolutions: bool = setting(
        True,
        label="Fast convolutions",
        help=(
            "Draws on a CPU, standalone, with convolutions that take fewer products; a picture may "
            "differ in its last bits. Off draws with PyTorch's own."
        ),
    )
