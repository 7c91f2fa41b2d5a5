"""What a LoRA does to prompts that do not call her."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..imaging.colour import to_lab
from .retention import SEEN, Scores

SIDE = 32  # pictures are compared at this size: what moves by a pixel has not changed


def colour_distance(one: Image.Image, other: Image.Image) -> float:
    """Mean CIELAB distance of two pictures, small."""
    small = [
        to_lab(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
        for image in (one, other)
    ]
    return float(np.sqrt(((small[0] - small[1]) ** 2).sum(axis=-1)).mean())


def relative_change(
    with_it: Sequence[Image.Image],
    without: Sequence[Image.Image],
    another_seed: Sequence[Image.Image],
) -> float:
    """How much the LoRA changes beside what another seed changes, c / (c + r): 0.5 where both
    change as much; the mean.

    The pictures of one prompt stand at one place; the first two were drawn with the same seed.
    """
    shares = []
    for own, base, other in zip(with_it, without, another_seed, strict=True):
        changed = colour_distance(own, base)
        shares.append(changed / (changed + colour_distance(base, other)) if changed else 0.0)
    return sum(shares) / len(shares) if shares else 0.0


def leaked_traits(
    hers: Sequence[str], with_it: Sequence[Scores], without: Sequence[Scores]
) -> tuple[float, tuple[str, ...]]:
    """(mean gain of her traits, 0 to 1; those that are seen now and were not) in pictures that do
    not call her.
    """
    rows: list[float] = []
    new: dict[str, None] = {}
    for own, base in zip(with_it, without, strict=True):
        for tag in hers:
            now, before = own.get(tag, 0.0), base.get(tag, 0.0)
            if before < SEEN:
                rows.append(max(0.0, now - before))
                if now >= SEEN:
                    new[tag] = None
    return (sum(rows) / len(rows) if rows else 0.0), tuple(new)
