"""How many figures a mask shows, and what a person should know of that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..errors import PictureError
from .components import label_regions

SIDE = 384
LARGE, TALL = 0.4, 0.6  # of the largest piece's area and height: a second figure, not a ribbon
SMALLEST = 16  # pixels of the picture: a figure that is smaller shows nothing


def only_one(mask: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """The mask with the largest of several figures that stand apart, and a sentence that tells it;
    else as it was.
    """
    scale = min(1.0, SIDE / max(mask.size))
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
        (
            f"warning: {len(others) + 1} figures stand apart in the picture; the largest, {where}%"
            " from the left, is taken for the character. If that is wrong, cut the picture to the"
            " one you want, or paint source/mask.png"
        ),
    )


def check_figure(mask: Image.Image) -> None:
    """Raises: PictureError, for a mask without a figure, or with one too small to show anything."""
    box = mask.point(lambda value: 255 if value > 127 else 0).getbbox()
    if box is None:
        raise PictureError(
            "source/mask.png: found it empty, expected the character white on black; paint the "
            "character, or call 'prepare --force' with another prepare.mask"
        )
    wide, high = box[2] - box[0], box[3] - box[1]
    if min(wide, high) < SMALLEST:
        raise PictureError(
            f"source/mask.png: found a figure of {wide}x{high} pixels, expected at least {SMALLEST}"
            " each way; paint the character, or choose a picture that shows it larger"
        )


def check_picture(image: Image.Image, name: str) -> None:
    """Raises: PictureError, for a picture of one colour."""
    pixels = np.asarray(image.convert("RGB"))
    if (pixels == pixels[0, 0]).all():
        raise PictureError(
            f"{name}: found one colour and nothing else, expected a character; choose another"
            " picture"
        )


def _rows(piece: NDArray[np.bool_]) -> int:
    rows = np.flatnonzero(piece.any(axis=1))
    return int(rows[-1] - rows[0]) + 1


def _grown(mask: Image.Image, size: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.asarray(mask.filter(ImageFilter.MaxFilter(min(size, 25)))) > 127
    return found
