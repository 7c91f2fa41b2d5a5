"""Detail close-ups: the places of the figure where most is drawn, such as a bow, a cuff or a badge,
beside her face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..imaging.boxes import PixelBox
from .buckets import Size
from .views import SMALLEST, View, fit_aspect, measure, overlap

SIDE = 256
WIDE = 0.6  # of the head's height
ON_HER = 0.75  # share of the window that must be the character
RICHER = 1.25  # than the figure's mean a detail must be
APART = 0.1  # the most that two details, or a detail and the face, may overlap


def propose_details(
    mask: Image.Image, buckets: list[Size], image: Image.Image, face: PixelBox | None, count: int
) -> list[View]:
    """Up to `count` views called detail_1, detail_2 …, the richest first; fewer where nothing
    stands out.
    """
    figure = measure(mask, face)
    scale = max(image.size) / SIDE
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    small = mask.convert("L").resize(size, Image.Resampling.BOX)
    # Her outline is no detail
    solid, inner = np.asarray(small) > 127, np.asarray(small.filter(ImageFilter.MinFilter(5))) > 127
    drawn = (
        _drawn(
            np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), dtype=np.float32)
        )
        * inner
    )
    window = max(4, round(WIDE * figure.head / scale))
    if window >= min(size) or not solid.any():
        return []
    # Of neighbouring places the one whose middle holds most is taken: a window half on the detail
    # is as rich as one around it.
    richness, share = _windows(drawn, window), _windows(solid.astype(np.float32), window)
    richness[share < ON_HER] = 0
    least = RICHER * float(drawn[solid].mean())
    taken: list[PixelBox] = [face] if face else []
    found: list[View] = []
    for at in np.argsort(richness.ravel())[::-1]:
        top, left = (int(value) for value in np.unravel_index(int(at), richness.shape))
        if len(found) >= count or richness[top, left] <= least:
            break
        wanted = left * scale, top * scale, (left + window) * scale, (top + window) * scale
        box = fit_aspect(wanted, image.size, buckets)
        if min(box[2] - box[0], box[3] - box[1]) < SMALLEST or any(
            overlap(box, other) > APART for other in taken
        ):
            continue
        taken.append(box)
        found.append(View(f"detail_{len(found) + 1}", ("close-up",), box, 0.6))
    return found


def _drawn(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much changes from each pixel to the next ones, (H, W)."""
    out = np.zeros(pixels.shape[:2], dtype=np.float32)
    out[:, 1:] += np.abs(np.diff(pixels, axis=1)).max(axis=2)
    out[1:] += np.abs(np.diff(pixels, axis=0)).max(axis=2)
    return out


def _windows(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Mean of each square window, (H - side + 1, W - side + 1)."""
    sums = np.pad(values.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    found = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    means: NDArray[np.float32] = (found / side**2).astype(np.float32)
    return means
