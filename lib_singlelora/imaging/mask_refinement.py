"""Refining a coarse mask's edge along the picture's edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WORKING_SIDE = 1024
SMOOTH = 1e-3  # variance of a surface, grey values from 0 to 1
Array = NDArray[np.float32]


def refine(mask: Image.Image, image: Image.Image, coarseness: float) -> Image.Image:
    """The mask (L) with its edge moved to the picture's edges nearby.

    coarseness: pixels of the picture for one pixel that the mask was found with; up to 1 the mask
        is returned unchanged.
    Source: He, Sun and Tang 2010, guided image filtering; He and Sun 2015, its fast form on a
        reduced picture.
    """
    if coarseness <= 1:
        return mask
    factor = min(1.0, WORKING_SIDE / max(image.size))
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    radius = max(2, round(2 * coarseness * factor))
    guide = (
        np.asarray(image.convert("L").resize(size, Image.Resampling.BOX), dtype=np.float64) / 255
    )
    coarse = np.asarray(mask.resize(size, Image.Resampling.BOX), dtype=np.float64) / 255
    average = box_mean(guide, radius)
    share = box_mean(coarse, radius)
    slope = (box_mean(guide * coarse, radius) - average * share) / (
        box_mean(guide**2, radius) - average**2 + SMOOTH
    )
    offset = share - slope * average
    large = [_enlarged(box_mean(values, radius), image.size) for values in (slope, offset)]
    drawn = large[0] * (np.asarray(image.convert("L"), dtype=np.float32) / 255) + large[1]
    # Only the strip along the edge changes: away from it the mask is sure.
    sure = np.abs(_enlarged(share, image.size) - 0.5) > 0.49
    refined = np.where(
        sure, np.asarray(mask, dtype=np.float32) / 255, np.clip((drawn - 0.1) / 0.8, 0, 1)
    )
    return Image.fromarray(np.rint(refined * 255).astype(np.uint8))


def _enlarged(values: NDArray[np.float64], size: tuple[int, int]) -> Array:
    enlarged: Array = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    )
    return enlarged


def box_mean(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """The mean over squares of side 2 radius + 1, (H, W); the border is repeated."""
    padded = np.pad(values, ((radius + 1, radius), (radius + 1, radius)), mode="edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    width = 2 * radius + 1
    total: NDArray[np.float64] = (
        sums[width:, width:]
        - sums[:-width, width:]
        - sums[width:, :-width]
        + sums[:-width, :-width]
    )
    return total / width**2
