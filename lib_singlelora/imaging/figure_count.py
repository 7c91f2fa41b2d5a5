"""Checks of a mask and a picture: how many figures there are, and whether there is one at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..errors import PictureError
from .boxes import box_size
from .components import label_regions

WORKING_SIDE = 384  # long side, pixels
# Shares of the largest piece's area and height from which on a piece is a second figure, not a
# ribbon.
LARGE = 0.4
TALL = 0.6
SMALLEST = 16  # pixels of the picture; a smaller figure shows nothing


def only_one(mask: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """The mask with only the largest of several separate figures, and a note of that.

    A mask of one figure is returned unchanged.
    """
    scale = min(1.0, WORKING_SIDE / max(mask.size))
    size = max(1, round(mask.width * scale)), max(1, round(mask.height * scale))
    solid = np.asarray(mask.resize(size, Image.Resampling.BOX)) > 127
    numbers, count = label_regions(solid)
    if count < 2:
        return mask, ()
    areas = np.bincount(numbers.ravel(), minlength=count + 1)
    areas[0] = 0
    main = int(areas.argmax())
    heights = {
        int(piece): _rows(numbers == piece)
        for piece in np.flatnonzero(areas >= LARGE * areas[main])
    }
    others = [
        piece for piece, tall in heights.items() if piece != main and tall >= TALL * heights[main]
    ]
    if not others:
        return mask, ()
    away = Image.fromarray(np.where(np.isin(numbers, others), 255, 0).astype(np.uint8))
    away = away.resize(mask.size, Image.Resampling.NEAREST)
    kept = np.where(_grown(away, max(3, 2 * round(1 / scale) + 1)), 0, np.asarray(mask))
    where = int(np.flatnonzero((numbers == main).any(axis=0)).mean() / size[0] * 100)
    return Image.fromarray(kept.astype(np.uint8)), (
        f"warning: {len(others) + 1} figures stand apart in the picture; the largest, {where}%"
        " from the left, is taken for the character. If that is wrong, crop the picture to the"
        " one you want, or paint source/mask.png",
    )


def check_figure(mask: Image.Image) -> None:
    """Raises: PictureError, for a mask without a figure, or with too small a one."""
    box = mask.point(lambda value: 255 if value > 127 else 0).getbbox()
    if box is None:
        raise PictureError(
            "source/mask.png: found it empty, expected the character white on black; paint the "
            "character, or call 'prepare --force' with another prepare.mask"
        )
    width, height = box_size(box)
    if min(width, height) < SMALLEST:
        raise PictureError(
            f"source/mask.png: found a figure of {width}x{height} pixels, expected at least"
            f" {SMALLEST} each way; paint the character, or choose a picture that shows it larger"
        )


def check_picture(image: Image.Image, name: str) -> None:
    """Raises: PictureError, for a picture of one colour."""
    pixels = np.asarray(image.convert("RGB"))
    if (pixels == pixels[0, 0]).all():
        raise PictureError(
            f"{name}: found a single colour, expected a character; choose another picture"
        )


def _rows(piece: NDArray[np.bool_]) -> int:
    """The height of a piece, pixels."""
    rows = np.flatnonzero(piece.any(axis=1))
    return int(rows[-1] - rows[0]) + 1


def _grown(mask: Image.Image, size: int) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = np.asarray(mask.filter(ImageFilter.MaxFilter(min(size, 25)))) > 127
    return grown
