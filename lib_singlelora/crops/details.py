"""Close-ups of details: the places of the figure, other than the face, where most is drawn.

Such as a bow, a cuff or a badge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..imaging.boxes import PixelBox, box_size
from .buckets import Size
from .views import SMALLEST, View, fit_aspect, measure, overlap

WORKING_SIDE = 256  # long side, pixels
WINDOW = 0.6  # side of a detail, in heights of the head
ON_FIGURE = 0.75  # share of the window that must be the character
RICHER = 1.25  # factor by which a detail is richer than the figure's mean
MOST_OVERLAP = 0.1  # of two details, or a detail and the face; intersection over union


def propose_details(
    mask: Image.Image, buckets: list[Size], image: Image.Image, face: PixelBox | None, count: int
) -> list[View]:
    """Up to `count` views called detail_1, detail_2 …, the richest first.

    There are fewer where nothing stands out.
    """
    figure = measure(mask, face)
    scale = max(image.size) / WORKING_SIDE
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    small_mask = mask.convert("L").resize(size, Image.Resampling.BOX)
    solid = np.asarray(small_mask) > 127
    # The figure's outline is no detail.
    inner = np.asarray(small_mask.filter(ImageFilter.MinFilter(5))) > 127
    small = image.convert("RGB").resize(size, Image.Resampling.BOX)
    drawn = _steps(np.asarray(small, dtype=np.float32)) * inner
    window = max(4, round(WINDOW * figure.head / scale))
    if window >= min(size) or not solid.any():
        return []
    richness = _window_means(drawn, window)
    richness[_window_means(solid.astype(np.float32), window) < ON_FIGURE] = 0
    least = RICHER * float(drawn[solid].mean())
    taken: list[PixelBox] = [face] if face else []
    views: list[View] = []
    for index in np.argsort(richness.ravel())[::-1]:
        top, left = (int(value) for value in np.unravel_index(int(index), richness.shape))
        if len(views) >= count or richness[top, left] <= least:
            break
        wanted = left * scale, top * scale, (left + window) * scale, (top + window) * scale
        box = fit_aspect(wanted, image.size, buckets)
        small_box = min(box_size(box)) < SMALLEST
        if small_box or any(overlap(box, other) > MOST_OVERLAP for other in taken):
            continue
        taken.append(box)
        views.append(View(f"detail_{len(views) + 1}", ("close-up",), box, 0.6))
    return views


def _steps(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The step from each pixel's left and upper neighbour, largest of the channels, (H, W)."""
    steps = np.zeros(pixels.shape[:2], dtype=np.float32)
    steps[:, 1:] += np.abs(np.diff(pixels, axis=1)).max(axis=2)
    steps[1:] += np.abs(np.diff(pixels, axis=0)).max(axis=2)
    return steps


def _window_means(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The mean of each square window, (H - side + 1, W - side + 1)."""
    sums = np.pad(values.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    totals = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    means: NDArray[np.float32] = (totals / side**2).astype(np.float32)
    return means
