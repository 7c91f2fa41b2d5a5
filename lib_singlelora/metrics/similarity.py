"""What pixels alone show: an invalid picture, and how near its colours are to the source's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

BINS = 8  # of each channel
SIDE = 64  # pixels; colours are counted in a picture of this size


@dataclass(frozen=True)
class PixelCheck:
    """What pixels alone show of a picture.

    similarity: shared share of the colour histograms of picture and source, 0 to 1.
    invalid: why it is no picture (blank, burnt colours, noise), or ''.
    """

    similarity: float
    invalid: str


def colour_histogram(image: Image.Image, mask: Image.Image | None = None) -> np.ndarray:
    """Shares of the 8³ colours over the foreground, summing to 1; (512,).

    mask: L, white is foreground; None counts the whole picture.
    """
    small = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
    bins = small.reshape(-1, 3) // (256 // BINS)
    weights = np.ones(len(bins))
    if mask is not None:
        shrunk = mask.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        weights = np.asarray(shrunk, dtype=float).reshape(-1) / 255
    index = bins[:, 0].astype(int) * BINS * BINS + bins[:, 1].astype(int) * BINS + bins[:, 2]
    counts = np.bincount(index, weights, minlength=BINS**3)
    total = counts.sum()
    return counts / total if total else counts


def invalid_reason(image: Image.Image) -> str:
    """Why a picture is invalid (blank, burnt colours, noise), or ''."""
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
    """Compare a picture with the source's colour histogram."""
    shared = float(np.minimum(colour_histogram(image), source).sum())
    return PixelCheck(round(shared, 4), invalid_reason(image))
