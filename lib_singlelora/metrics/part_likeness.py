"""How like the original a redrawn part of a picture is, and what several seeds say together.

Colours are compared place by place: they are what an eye misses first in a wrong part, any host can
compare them, and neither a tagger nor another network's taste is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..imaging.colour import Lab, distance, to_lab

FINE = 32  # fields on the longer side where a part may lie a little beside its place
REACH = 2  # of these fields, so far beside it
ACROSS = 16  # fields on the longer side of what is drawn: a latent cell of a model of 128 pixels
UNLIKE = 30.0  # ΔE (CIE76) at which two colours count as 1/e alike
# Student's t for a two-sided interval of 95 % by degrees of freedom; beyond them the normal's.
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Mean:
    """A mean and how sure it is.

    margin: half of the interval that holds the true mean in 95 of 100 cases; None for one value.
    """

    value: float
    margin: float | None

    def __str__(self) -> str:
        return f"{self.value:.2f}" + (f" ± {self.margin:.2f}" if self.margin is not None else "")


def part_likeness(drawn: Image.Image, original: Image.Image, mask: Image.Image) -> float:
    """0 to 1, 1 = the original's colours at all places of the part.

    The mean over small square fields of exp(−(ΔE/30)²), ΔE between the fields' mean colours,
    weighted by each field's share of the mask.  A part that lies a field beside its place counts as
    unlike, what is finer than a field does not count.

    drawn, original, mask: of one size; mask: L, white is the part.
    """
    (one, other), weights = _fields((drawn, original), mask, ACROSS)
    return _weighted(_alike(one, other), weights)


def near_likeness(drawn: Image.Image, original: Image.Image, mask: Image.Image) -> float:
    """0 to 1: as `part_likeness`, but each field counts as like the nearest of those around it.

    A stripe a little too low is a stripe, and none is none: of the original's fields as many must
    be found in what is drawn as the reverse.  For choosing among pictures of one part.

    drawn, original, mask: as there.
    """
    (one, other), weights = _fields((drawn, original), mask, FINE)
    found = (_best_alike(one, other), _best_alike(other, one))
    return sum(_weighted(alike, weights) for alike in found) / 2


def _best_alike(wanted: Lab, there: Lab) -> NDArray[np.float64]:
    """Of each field of the first the largest likeness to one of the second around it, (H, W)."""
    height, width = wanted.shape[:2]
    padded = np.pad(there, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    best = np.zeros((height, width))
    for down in range(2 * REACH + 1):
        for right in range(2 * REACH + 1):
            near = padded[down : down + height, right : right + width]
            best = np.maximum(best, _alike(wanted, near))
    return best


def _fields(
    images: Sequence[Image.Image], mask: Image.Image, across: int
) -> tuple[list[Lab], NDArray[np.float64]]:
    """(the fields' mean colours of each picture, each field's share of the mask)."""
    scale = across / max(mask.size)
    size = max(1, round(mask.width * scale)), max(1, round(mask.height * scale))
    small = [to_lab(image.convert("RGB").resize(size, Image.Resampling.BOX)) for image in images]
    return small, np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX), dtype=np.float64)


def _alike(one: Lab, other: Lab) -> NDArray[np.float64]:
    return np.asarray(np.exp(-((distance(one, other) / UNLIKE) ** 2)), dtype=np.float64)


def _weighted(alike: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float((alike * weights).sum() / max(weights.sum(), 1e-9))


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of at least one value, with its interval."""
    mean = float(np.mean(values))
    freedom = len(values) - 1
    if not freedom:
        return Mean(mean, None)
    factor = T_95[freedom - 1] if freedom <= len(T_95) else NORMAL_95
    return Mean(mean, factor * float(np.std(values, ddof=1)) / math.sqrt(len(values)))
