"""Settings of the quality tags."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.quality import AUTO, quality_names
from .declare import setting


@dataclass(frozen=True)
class QualitySettings:
    """Quality tags.

    In every prompt that is drawn, in no caption of the character.
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
