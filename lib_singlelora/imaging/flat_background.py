"""The figure before a background of one colour, by flood from the picture's border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

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


def find_flat_background(image: Image.Image) -> FlatBackground | None:
    """The background of one colour; None where most of the border has no one colour."""
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BOX) if scale < 1 else image
    pixels = np.asarray(small, dtype=np.int16)
    border = np.concatenate(
        [
            pixels[:2].reshape(-1, 3),
            pixels[-2:].reshape(-1, 3),
            pixels[:, :2].reshape(-1, 3),
            pixels[:, -2:].reshape(-1, 3),
        ]
    )
    colour = np.median(border, axis=0).astype(np.int16)
    if (np.abs(border - colour).max(axis=1) <= FLAT_TOLERANCE).mean() < FLAT_SHARE:
        return None
    distance = np.abs(pixels - colour).max(axis=2)
    alike = distance <= FLAT_TOLERANCE
    background = flood_from_border(alike)
    if not 0.005 <= 1 - background.mean() <= 0.98:
        return None
    mask = Image.fromarray(_soft_edge(background, distance))
    if mask.size != image.size:
        mask = mask.resize(image.size, Image.Resampling.BICUBIC)
    low = max(1, round(0.03 * size[1]))
    around = [alike[0], alike[:-low, 0], alike[:-low, -1]]
    whole = bool(np.concatenate(around).mean() > 0.97 and min(edge.mean() for edge in around) > 0.9)
    return FlatBackground(mask, (int(colour[0]), int(colour[1]), int(colour[2])), whole)


def background_colour(image: Image.Image) -> Colour | None:
    """The one colour along the picture's border, or None."""
    flat = find_flat_background(image)
    return flat.colour if flat else None


def _soft_edge(background: Mask, distance: NDArray[np.int16]) -> NDArray[np.uint8]:
    """0 in the background, 255 inside, and each edge pixel's share of the figure between.

    An edge pixel is a mixture: if it is half as far from the background's colour as what lies a
    little further inside, then half of it is figure.

    distance: from the background's colour, largest of the channels.
    """
    hard = Image.fromarray(np.where(background, 0, 255).astype(np.uint8))
    inner = np.asarray(hard.filter(ImageFilter.MinFilter(5))) == 255
    # The edge's faintest pixels pass for background, so that the strip reaches beyond it.
    strip = np.asarray(hard.filter(ImageFilter.MaxFilter(3))) == 255
    far = Image.fromarray(np.clip(distance, 0, 255).astype(np.uint8)).filter(
        ImageFilter.MaxFilter(5)
    )
    whole = np.maximum(np.asarray(far, dtype=np.float32), 4 * FLAT_TOLERANCE)
    noise = FLAT_TOLERANCE / 4
    share = np.clip((distance - noise) / (whole - noise), 0, 1) * 255
    return np.where(inner, 255, np.where(strip, np.rint(share), 0)).astype(np.uint8)


def flood_from_border(passable: Mask) -> Mask:
    """The passable pixels that are connected to the border by their sides.

    Whole runs are filled at once, by rows and columns in turn, until nothing changes.
    """
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
