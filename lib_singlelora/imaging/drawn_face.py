"""A drawn face of any colour: the region that has two like eyes side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import PixelBox, mask_box
from .face_by_colour import above_neck
from .segments import Array, Labels

UNLIKE = 18.0  # ΔE of an eye from the face around it, at least
SAME = 14.0  # ΔE between two eyes, at most


@dataclass(frozen=True)
class Spots:
    """Regions as spots.

    x, y: their middles, pixels, (n,).
    area: pixels, (n,).
    colour: mean L*a*b*, (n, 3).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: NDArray[np.float64]
    colour: NDArray[np.float64]


def spots(labels: Labels, lab: Array) -> Spots:
    """Every region as a spot.  lab: the picture's L*a*b*, (H, W, 3)."""
    count = int(labels.max()) + 1
    height, width = labels.shape
    area = np.maximum(np.bincount(labels.ravel(), minlength=count), 1).astype(np.float64)
    x = np.bincount(labels.ravel(), np.tile(np.arange(width), height), count) / area
    y = np.bincount(labels.ravel(), np.repeat(np.arange(height), width), count) / area
    colour = np.stack(
        [np.bincount(labels.ravel(), lab[..., band].ravel(), count) / area for band in range(3)],
        axis=1,
    )
    return Spots(x, y, area, colour)


def has_eyes(
    box: PixelBox, found: Spots, skin: NDArray[np.float64], region: NDArray[np.bool_] | None = None
) -> bool:
    """True if just two similar spots, unlike the skin, lie side by side in the box.

    A wall's windows are more.

    skin: the face's colour, L*a*b*.
    region: the one that is the face; it must lie between the eyes too, which hair around a face
        does not.
    """
    left, top, right, bottom = box
    wide = right - left
    high = bottom - top
    if wide < 8 or high < 8:
        return False
    inside = (found.x > left + 0.05 * wide) & (found.x < right - 0.05 * wide)
    inside &= (found.y > top + 0.12 * high) & (found.y < bottom - 0.2 * high)
    small = (found.area > 0.002 * wide * high) & (found.area < 0.12 * wide * high)
    unlike = np.sqrt(((found.colour - skin) ** 2).sum(axis=1)) > UNLIKE
    ones = np.flatnonzero(inside & small & unlike)
    for index, one in enumerate(ones):
        for other in ones[index + 1 :]:
            across = abs(found.x[one] - found.x[other]) / wide
            level = abs(found.y[one] - found.y[other]) / high
            centred = abs((found.x[one] + found.x[other]) / 2 - (left + right) / 2) / wide
            sizes = found.area[one] / found.area[other]
            apart = float(np.sqrt(((found.colour[one] - found.colour[other]) ** 2).sum()))
            if not (
                0.22 < across < 0.75
                and level < 0.1
                and centred < 0.18
                and 0.5 < sizes < 2
                and apart < SAME
            ):
                continue
            between = (
                round(float(found.y[one] + found.y[other]) / 2),
                round(float(found.x[one] + found.x[other]) / 2),
            )
            if (
                region is not None
                and not region[between[0] : between[0] + 3, between[1] - 1 : between[1] + 2].any()
            ):
                continue
            alike = np.sqrt(((found.colour[ones] - found.colour[one]) ** 2).sum(axis=1)) < SAME
            sized = np.abs(np.log(found.area[ones] / found.area[one])) < 0.5
            if int((alike & sized).sum()) <= 4:  # eyes, and perhaps brows
                return True
    return False


def faces_with_eyes(labels: Labels, found: Spots) -> list[PixelBox]:
    """The boxes of regions that look like faces, the largest first."""
    height, width = labels.shape
    least = 0.0006 * height * width
    most = 0.35 * height * width
    boxes = []
    for number in np.argsort(-found.area):
        if not least < found.area[number] < most:
            continue
        region = labels == number
        left, top, right, bottom = mask_box(region)
        if left == 0 or right == width or not 0.45 < (right - left) / (bottom - top) < 2.2:
            continue
        box = left, top, right, top + above_neck(region[top:bottom, left:right])
        if has_eyes(box, found, found.colour[number], region):
            boxes.append(box)
    return boxes
