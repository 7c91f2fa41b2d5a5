"""The face in a segmented picture, by skin and by eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .boxes import PixelBox
from .drawn_face import faces_with_eyes, has_eyes
from .face_by_colour import find_face
from .figure_regions import Regions, Values

Mask = NDArray[np.bool_]


def face_in_regions(small: Image.Image, regions: Regions, outline: Mask | None) -> PixelBox | None:
    """The face: by skin and eyes, else by eyes alone, else by skin alone.

    Skin is looked for within what stands out by itself first, then anywhere.
    """
    areas = [Image.new("L", small.size, 255)]
    if outline is not None and not 0.01 < outline.mean() < 0.9:
        outline = None
    if outline is not None:
        areas.insert(0, Image.fromarray(np.where(outline, 255, 0).astype(np.uint8)))
    by_skin = [face for area in areas if (face := find_face(small, area)) is not None]
    by_both = [face for face in by_skin if shows_eyes(regions, face)]
    if by_both:
        return by_both[0]
    by_eyes = faces_with_eyes(regions.labels, regions.spots)
    if outline is not None:
        by_eyes = [
            face for face in by_eyes if outline[face[1] : face[3], face[0] : face[2]].mean() > 0.5
        ] or by_eyes
    skin_coloured = [face for face in by_eyes if _may_be_skin(_main_colour(regions, face))]
    return next(iter(skin_coloured or by_skin or by_eyes), None)


def shows_eyes(regions: Regions, face: PixelBox) -> bool:
    """True if a face has a pair of eyes."""
    return has_eyes(face, regions.spots, _main_colour(regions, face))


def _may_be_skin(lab: Values) -> bool:
    """True if a colour (L*a*b*) may be skin, pale to dark: between red and yellow, not vivid."""
    light, red, yellow = (float(value) for value in lab)
    return 20 < light < 97 and 1 < red < 30 and 3 < yellow < 45


def _main_colour(regions: Regions, box: PixelBox) -> Values:
    """The colour (L*a*b*) of the region that takes most of a box."""
    inside = regions.labels[box[1] : box[3], box[0] : box[2]]
    colour: Values = regions.spots.colour[int(np.bincount(inside.ravel()).argmax())]
    return colour
