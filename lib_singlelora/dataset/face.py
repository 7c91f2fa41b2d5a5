"""Where the face is, told from skin colours inside the outline: a hat or long hair hides it from the outline alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[int, int, int, int]
SIDE = 256


def skin(image: Image.Image) -> NDArray[np.bool_]:
    """Pixels of a light skin's hue (5° to 36°), pale enough not to be hair or wood; (H, W)."""
    hue, saturation, value = (np.asarray(band, dtype=np.float32) / 255 for band in image.convert("RGB").convert("HSV").split())
    return (hue > 5 / 360) & (hue < 36 / 360) & (saturation > 0.08) & (saturation < 0.58) & (value > 0.62)


def find_face(image: Image.Image, mask: Image.Image) -> Box | None:
    """Box of the face's skin (left, top, right, bottom; pixels of the picture), or None where nothing looks like one.

    The uppermost run of rows that hold much skin near the figure's middle axis; a thinner neck ends it.
    """
    scale = max(image.size) / SIDE
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    solid = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127
    if not solid.any():
        return None
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height, width = bottom - top, right - left
    found = skin(image.resize(size, Image.Resampling.BOX)) & solid
    upper = found[top: top + max(1, int(0.62 * height)), left:right].copy()
    middle = np.abs(np.arange(width) - width / 2) < 0.32 * width
    upper[:, ~middle] = False
    window = max(1, round(0.03 * height))
    counts = np.convolve(upper.sum(axis=1), np.ones(window) / window, mode="same")
    if counts.max() < max(3, 0.1 * width) or found.sum() > 0.7 * solid.sum():  # all skin: nothing stands out
        return None
    # A low bar bridges the rows of the eyes; the neck, at under half of the face's width, stays below it.
    busy = np.concatenate([[False], counts > 0.4 * counts.max(), [False]])
    starts, ends = np.flatnonzero(~busy[:-1] & busy[1:]), np.flatnonzero(busy[:-1] & ~busy[1:])
    for start, end in zip(starts, ends, strict=True):
        own = upper[start:end].sum(axis=0)
        wide = np.flatnonzero(own > 0.25 * own.max())
        face_width, face_height = int(wide[-1] - wide[0] + 1), int(end - start)
        if face_height >= 0.04 * height and face_width >= 0.12 * width and 0.35 <= face_height / face_width <= 1.8:
            box = (left + wide[0], top + start, left + wide[-1] + 1, top + end)
            return (round(box[0] * scale), round(box[1] * scale), round(box[2] * scale), round(box[3] * scale))
    return None
