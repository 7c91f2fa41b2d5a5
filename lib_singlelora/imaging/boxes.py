"""Boxes in pictures: one type for each way to write a box."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# (left, top, right, bottom), pixels; right and bottom are one past the last.
PixelBox: TypeAlias = tuple[int, int, int, int]
# The same before it is rounded.
SubpixelBox: TypeAlias = tuple[float, float, float, float]
# (left, top, width, height), pixels: OpenCV's order.
CornerAndSize: TypeAlias = tuple[int, int, int, int]


def box_size(box: PixelBox) -> tuple[int, int]:
    """Width and height of a box, pixels."""
    left, top, right, bottom = box
    return right - left, bottom - top


def scale_box(box: SubpixelBox, factor: float) -> PixelBox:
    """The box in a picture enlarged by a factor, rounded."""
    left, top, right, bottom = box
    return round(left * factor), round(top * factor), round(right * factor), round(bottom * factor)


def mask_box(mask: NDArray[np.bool_]) -> PixelBox:
    """The smallest box around what is set in a mask (H, W), which must not be empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
