"""The figure before a background of one colour, by flood from the picture's border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

# The largest difference in any channel that still is the background's colour; JPEG noise is below.
FLAT_TOLERANCE = 16
FLAT_SHARE = 0.6  # of the picture's border that must have that colour
WORKING_SIDE = 2048
Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class FlatBackground:
    """A background of one colour.

    mask: L, as large as the picture, 255 is the figure; its edges are antialiased.
    colour: of the background.
    whole: True if all of the border has it, but for a figure that the lower edge cuts.
    """

    mask: Image.Image
    colour: Colour
    whole: bool


@dataclass(frozen=True)
class _Flood:
    """What is connected to the border in its colour.

    colour: of the border, (3,).
    distance: of each pixel from it, the largest of the channels.
    background: the pixels that the flood reached.
    """

    colour: NDArray[np.int16]
    distance: NDArray[np.uint8]
    background: Mask


def find_flat_background(image: Image.Image) -> FlatBackground | None:
    """The background of one colour; None where most of the border has no one colour."""
    flood = _flooded(image)
    if flood is None:
        return None
    mask = Image.fromarray(_soft_edge(flood.background, flood.distance))
    low = max(1, round(0.03 * mask.height))
    if mask.size != image.size:
        mask = mask.resize(image.size, Image.Resampling.BICUBIC)
    alike = flood.distance <= FLAT_TOLERANCE
    around = [alike[0], alike[:-low, 0], alike[:-low, -1]]
    whole = bool(np.concatenate(around).mean() > 0.97 and min(edge.mean() for edge in around) > 0.9)
    return FlatBackground(mask, _as_colour(flood.colour), whole)


def background_colour(image: Image.Image) -> Colour | None:
    """The one colour along the picture's border, or None."""
    flood = _flooded(image)
    return _as_colour(flood.colour) if flood else None


def _as_colour(colour: NDArray[np.int16]) -> Colour:
    return int(colour[0]), int(colour[1]), int(colour[2])


def _flooded(image: Image.Image) -> _Flood | None:
    """The flood from the border, of at most WORKING_SIDE pixels a side; None as above."""
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BOX) if scale < 1 else image
    pixels = np.asarray(small)
    border = np.concatenate(
        [
            pixels[:2].reshape(-1, 3),
            pixels[-2:].reshape(-1, 3),
            pixels[:, :2].reshape(-1, 3),
            pixels[:, -2:].reshape(-1, 3),
        ]
    ).astype(np.int16)
    colour = np.median(border, axis=0).astype(np.int16)
    if (np.abs(border - colour).max(axis=1) <= FLAT_TOLERANCE).mean() < FLAT_SHARE:
        return None
    distance = _largest_difference(small, _as_colour(colour))
    background = flood_from_border(distance <= FLAT_TOLERANCE)
    if not 0.005 <= 1 - background.mean() <= 0.98:
        return None
    return _Flood(colour, distance, background)


def _largest_difference(image: Image.Image, colour: Colour) -> NDArray[np.uint8]:
    """How far each pixel is from a colour, in the channel where it is farthest."""
    apart = ImageChops.difference(image, Image.new("RGB", image.size, colour))
    return np.asarray(reduce(ImageChops.lighter, apart.split()))


def _soft_edge(background: Mask, distance: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """0 in the background, 255 inside, and each edge pixel's share of the figure between.

    An edge pixel is a mixture: if it is half as far from the background's colour as what lies a
    little further inside, then half of it is figure.

    distance: from the background's colour, largest of the channels.
    """
    figure = np.logical_not(background)
    inner = np.logical_not(_largest_near(background, 2))
    # The edge's faintest pixels pass for background, so that the strip reaches beyond it.
    strip = _largest_near(figure, 1)
    far = _largest_near(distance, 2)
    whole = np.maximum(far.astype(np.float32), 4 * FLAT_TOLERANCE)
    noise = FLAT_TOLERANCE / 4
    share = np.clip((distance - noise) / (whole - noise), 0, 1) * 255
    return np.where(inner, 255, np.where(strip, np.rint(share), 0)).astype(np.uint8)


def _largest_near(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """The largest value at most `reach` rows and columns away, of each pixel.

    values: bool or uint8, (H, W).
    """
    if cv2 := _opencv():
        square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        near: NDArray[Any] = cv2.dilate(values.view(np.uint8), square).view(values.dtype)
        return near
    for axis in (0, 1):
        largest = values.copy()
        length = values.shape[axis]
        for step in range(1, min(reach, length - 1) + 1):
            ahead = [slice(None), slice(None)]
            behind = [slice(None), slice(None)]
            ahead[axis] = slice(step, None)
            behind[axis] = slice(None, length - step)
            one, other = tuple(ahead), tuple(behind)
            largest[other] = np.maximum(largest[other], values[one])
            largest[one] = np.maximum(largest[one], values[other])
        values = largest
    return values


def flood_from_border(passable: Mask) -> Mask:
    """The passable pixels that are connected to the border by their sides."""
    cv2 = _opencv()
    return _filled_by_opencv(cv2, passable) if cv2 else _filled_by_runs(passable)


def _opencv() -> Any:
    """OpenCV, which does the same in a tenth of the time, where it is there; else None."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _filled_by_opencv(cv2: Any, passable: Mask) -> Mask:
    # In rows, whichever way the mask lies: OpenCV fills it where it is
    around = np.ascontiguousarray(np.pad(passable.astype(np.uint8), 1, constant_values=1))
    cv2.floodFill(around, None, (0, 0), 2, flags=4)
    reached: Mask = around[1:-1, 1:-1] == 2
    return reached


def _filled_by_runs(passable: Mask) -> Mask:
    """Whole runs are filled at once, by rows and columns in turn, until nothing changes."""
    reached = np.zeros_like(passable)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        reached[edge] = passable[edge]
    runs = [_run_numbers(passable), _run_numbers(passable.T)]
    before = -1
    while (now := int(reached.sum())) != before:
        before = now
        reached = _fill_runs(passable, reached, runs[0])
        reached = _fill_runs(passable.T, reached.T, runs[1]).T
    return reached


def _run_numbers(passable: Mask) -> NDArray[np.int64]:
    """A number for each horizontal run of passable pixels, the same within the run."""
    blocked: Mask = np.logical_not(passable)
    blocked[:, 0] = True  # a run never goes on from one row to the next
    return np.cumsum(blocked, dtype=np.int64).reshape(passable.shape)


def _fill_runs(passable: Mask, reached: Mask, runs: NDArray[np.int64]) -> Mask:
    """The runs that are reached anywhere, whole."""
    touched = np.zeros(int(runs[-1, -1]) + 1, dtype=bool)
    touched[runs[reached]] = True
    filled: Mask = passable & touched[runs]
    return filled
