"""Settings that every stage which generates pictures has."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class DrawingSettings:
    """What every stage that draws can be told."""

    negative_prompt: str = setting(
        "lowres, bad anatomy, bad hands, text, worst quality, low quality, watermark",
        label="Negative prompt",
        help="What the pictures must not show.",
    )
    sampler: str = setting("DPM++ 2M Karras", label="Sampler", help="One of the host's samplers.")
    steps: int = setting(
        20, label="Steps", low=1, high=150, help="Fewer are faster, more are cleaner."
    )
    cfg_scale: float = setting(
        7.0, label="CFG scale", low=1, high=30, help="How strictly the prompt is followed."
    )
