"""Sampling settings, shared by every stage that generates pictures."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class DrawingSettings:
    """Sampling.

    Base class of the sections whose stages generate pictures.
    """

    negative_prompt: str = setting(
        "lowres, bad anatomy, bad hands, text, worst quality, low quality, watermark",
        label="Negative prompt",
        help="What the pictures should not show.",
    )
    sampler: str = setting("DPM++ 2M Karras", label="Sampler", help="One of the host's samplers.")
    steps: int = setting(
        20,
        label="Steps",
        low=1,
        high=150,
        help="Sampling steps: fewer are faster, more give cleaner pictures.",
    )
    cfg_scale: float = setting(
        7.0,
        label="CFG scale",
        low=1,
        high=30,
        help="Classifier-free guidance: how strictly the prompt is followed.",
    )
