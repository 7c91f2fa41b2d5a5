"""What a LoRA does to prompts that do not call the character."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..imaging.colour import to_lab
from .retention import SEEN, TagProbabilities

SIDE = 32  # pictures are compared at this size: what moves by a pixel has not changed


def colour_distance(one: Image.Image, other: Image.Image) -> float:
    """Mean CIELAB distance of two pictures, both made small."""
    small = [
        to_lab(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
        for image in (one, other)
    ]
    return float(np.sqrt(((small[0] - small[1]) ** 2).sum(axis=-1)).mean())


def relative_change(
    with_lora: Sequence[Image.Image],
    without: Sequence[Image.Image],
    another_seed: Sequence[Image.Image],
) -> float:
    """The LoRA's change c beside the change r of another seed, c / (c + r); the mean over prompts.

    0.5 where both change as much.  Pictures of one prompt have the same index; the first two
    were drawn with the same seed.
    """
    shares = []
    for picture, base, other in zip(with_lora, without, another_seed, strict=True):
        changed = colour_distance(picture, base)
        shares.append(changed / (changed + colour_distance(base, other)) if changed else 0.0)
    return sum(shares) / len(shares) if shares else 0.0


def leaked_traits(
    traits: Sequence[str],
    with_lora: Sequence[TagProbabilities],
    without: Sequence[TagProbabilities],
) -> tuple[float, tuple[str, ...]]:
    """(mean gain of the traits, 0 to 1; the traits that are seen only with the LoRA).

    with_lora, without: tags of pictures whose prompts do not call the character.
    """
    gains: list[float] = []
    leaked: dict[str, None] = {}
    for scores, base in zip(with_lora, without, strict=True):
        for tag in traits:
            now = scores.get(tag, 0.0)
            before = base.get(tag, 0.0)
            if before < SEEN:
                gains.append(max(0.0, now - before))
                if now >= SEEN:
                    leaked[tag] = None
    return (sum(gains) / len(gains) if gains else 0.0), tuple(leaked)
