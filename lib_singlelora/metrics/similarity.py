"""What pixels alone tell: whether a picture is broken, and how near its colours are to the
source's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

BINS = 8


@dataclass(frozen=True)
class PixelCheck:
    """similarity: 0 to 1, shared share of the colour histograms.

    invalid: why the picture is no picture, or ''.
    """

    similarity: float
    invalid: str


def colour_histogram(image: Image.Image, mask: Image.Image | None = None) -> np.ndarray:
    """Shares of the 8³ colours over the foreground (L mask, white counts), summing to 1; (512,)."""
    small = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BOX)).reshape(
        -1, 3
    ) // (256 // BINS)
    weights = np.ones(len(small))
    if mask is not None:
        weights = (
            np.asarray(
                mask.convert("L").resize((64, 64), Image.Resampling.BOX), dtype=float
            ).reshape(-1)
            / 255
        )
    index = small[:, 0].astype(int) * BINS * BINS + small[:, 1].astype(int) * BINS + small[:, 2]
    counts = np.bincount(index, weights, minlength=BINS**3)
    total = counts.sum()
    return counts / total if total else counts


def invalid_reason(image: Image.Image) -> str:
    """Why a picture is broken (blank, burnt, noise), or ''."""
    values = np.asarray(image.convert("RGB"), dtype=np.float32)
    if values.std() < 4:
        return "blank"
    burnt = ((values.min(axis=2) < 4) & (values.max(axis=2) > 251)).mean()
    if burnt > 0.5:
        return "burnt colours"
    steps = np.abs(np.diff(values, axis=1)).mean()
    # Neighbours in white noise of deviation s differ by 1.13 s on average, in drawings and
    # photographs by far less.
    if steps > 0.8 * values.std():
        return "noise"
    return ""


def check_pixels(image: Image.Image, source: np.ndarray) -> PixelCheck:
    """Compare a picture with the source's histogram."""
    shared = float(np.minimum(colour_histogram(image), source).sum())
    return PixelCheck(round(shared, 4), invalid_reason(image))
