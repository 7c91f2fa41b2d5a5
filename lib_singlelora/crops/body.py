"""Parts of the body and of the background that a crop shows, so that no caption names others."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..imaging.boxes import PixelBox, SubpixelBox
from .views import Figure, row_of

# From a row to a row of the body, as in `Framing`: 0 top of the head, 1 chin, 2 feet.  Generous,
# because what is told by them is only what a crop cannot show.
ROWS = {
    "neck": (0.9, 1.15),
    "torso": (1.0, 1.5),
    "hips": (1.2, 1.65),
    "legs": (1.4, 2.0),
    "feet": (1.8, 2.0),
}
ACROSS_THE_BODY = frozenset(ROWS)
LOWEST = 0.15  # of a figure, from below: may be its feet, wherever they should be
CROUCHING = 1.2  # widths to the height from which on a figure does not stand upright
UNSURE = 0.55  # a chin less sure than this tells nothing
FACE_BELOW = 0.3  # of a head, from above: there the face begins at the latest
EYES_ABOVE = 0.7  # of a face, from above: there the eyes end
MOUTH_BELOW = 0.55
MARGIN = 0.05  # of a part's height, by which it may lie higher or lower
EDGE = 4  # rows and columns around the outline, in a picture of SMALL, that are neither
SMALL = (256, 256)
PLAIN_STEP = 16  # levels of 255 by which a pixel of a plain background may differ
PLAIN_SHARE = 0.97  # of the background has its one colour
GREYISH = 0.12  # chroma (0 to 1) up to which a colour may be called white, grey or black
COLOURFUL = 0.04  # from which it may have a hue
# Of each name, degrees; they overlap, because people do not agree on borders.
HUES = {
    "red": (-20, 18),
    "orange": (8, 48),
    "yellow": (35, 75),
    "green": (65, 175),
    "aqua": (150, 210),
    "blue": (180, 265),
    "purple": (245, 320),
    "pink": (-75, 12),
}
LEAST_BACKGROUND = 0.02  # of a picture; less says nothing


def body_parts(figure: Figure) -> dict[str, SubpixelBox]:
    """The box of each part: head, face, eyes, mouth, and those of ROWS; {} for a figure that lies
    or crouches, or whose chin is a guess.
    """
    if figure.right - figure.left > CROUCHING * (figure.bottom - figure.top):
        return {}
    if figure.face is None and figure.sure < UNSURE:
        return {}
    half = 0.65 * max(figure.head_width, 0.7 * figure.head)
    chin = figure.crown + figure.head
    head = figure.centre - half, float(figure.crown), figure.centre + half, chin
    left, top, right, bottom = figure.face or (
        head[0],
        figure.crown + FACE_BELOW * figure.head,
        head[2],
        chin,
    )
    height = bottom - top
    parts: dict[str, SubpixelBox] = {
        "head": head,
        "face": (left, top, right, bottom),
        "eyes": (left, top, right, top + EYES_ABOVE * height),
        "mouth": (left, top + MOUTH_BELOW * height, right, bottom),
    }
    for name, (start, end) in ROWS.items():
        # Legs that are bent, or cut off by the picture, lie higher than they should.
        lowest = figure.bottom - LOWEST * (figure.bottom - figure.crown)
        parts[name] = (
            float(figure.left),
            min(row_of(start, figure), lowest),
            float(figure.right),
            min(row_of(end, figure), float(figure.bottom)),
        )
    return parts


def shown_parts(
    box: PixelBox, parts: Mapping[str, SubpixelBox], solid: NDArray[np.bool_]
) -> dict[str, float]:
    """The share, 0 to 1, of each part that lies in the crop; of 'background', of the crop's area.

    Of parts that lie across the body only their rows count.

    box: of the crop.
    parts: of `body_parts`.
    solid: the character, (H, W).
    """
    shown = {}
    for name, (left, top, right, bottom) in parts.items():
        slack = MARGIN * (bottom - top)
        rows = _shared(box[1], box[3], top - slack, bottom + slack)
        columns = 1.0 if name in ACROSS_THE_BODY else _shared(box[0], box[2], left, right)
        shown[name] = round(rows * columns, 3)
    left, top, right, bottom = box
    shown["background"] = round(1 - float(solid[top:bottom, left:right].mean()), 3)
    return shown


def _shared(start: float, end: float, other_start: float, other_end: float) -> float:
    """The share of the second span that lies in the first."""
    shared = min(end, other_end) - max(start, other_start)
    return max(0.0, shared) / max(1.0, other_end - other_start)


def background_colour(image: Image.Image, mask: Image.Image) -> tuple[int, int, int] | None:
    """The one colour (RGB) of nearly all that is beside the character; None for a lively one.

    mask: L, as large as the picture, 255 is the character.
    """
    pixels = np.asarray(image.convert("RGB").resize(SMALL, Image.Resampling.NEAREST), np.int16)
    small_mask = mask.convert("L").resize(SMALL, Image.Resampling.BOX)
    outside = np.asarray(small_mask.filter(ImageFilter.MaxFilter(2 * EDGE + 1))) < 16
    if outside.mean() < LEAST_BACKGROUND:
        return None
    beside = pixels[outside]
    middle = np.median(beside, axis=0)
    if (np.abs(beside - middle).max(axis=1) <= PLAIN_STEP).mean() < PLAIN_SHARE:
        return None
    red, green, blue = (int(value) for value in middle)
    return red, green, blue


def colour_names(colour: tuple[int, int, int]) -> frozenset[str]:
    """Every name that fits a background's colour (RGB); most colours have two or three."""
    red, green, blue = (value / 255 for value in colour)
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    chroma = saturation * value
    names = set()
    if chroma <= GREYISH:
        names |= {
            name
            for name, fits in (
                ("white", min(colour) >= 222),
                ("black", max(colour) <= 48),
                ("grey", 32 <= max(colour) <= 238),
            )
            if fits
        }
    if chroma >= COLOURFUL:
        degrees = round(360 * hue)
        names |= {
            name
            for name, (start, end) in HUES.items()
            if start <= degrees <= end or start <= degrees - 360 <= end
        }
        if -15 <= (degrees + 180) % 360 - 180 <= 60 and value < 0.75:
            names.add("brown")
        if 15 <= degrees <= 65 and saturation < 0.45 and value > 0.7:
            names.add("beige")
    return frozenset(names)
