"""Where on the figure a spot lies, told from the mask, the face's skin and the colours beside the
face.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from .boxes import PixelBox
from .colour import distance, to_lab
from .face_by_colour import find_face, skin

SIDE = 256
ALIKE = 22.0  # CIELAB


def place_finder(image: Image.Image, mask: Image.Image) -> Callable[[PixelBox, str], str]:
    """A function that gives the place of a box: hair, eyes, face, skin, clothes or background."""
    scale = max(image.size) / SIDE
    size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    small = image.resize(size, Image.Resampling.BOX)
    lab, solid = (
        to_lab(small),
        np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127,
    )
    own_skin, face = skin(small), find_face(image, mask)
    box = tuple(value / scale for value in face) if face else None
    hair = _beside(lab, solid & ~own_skin, box) if box else []

    def place(spot: PixelBox, around: str) -> str:
        x, y = (spot[0] + spot[2]) / 2 / scale, (spot[1] + spot[3]) / 2 / scale
        row, column = min(size[1] - 1, int(y)), min(size[0] - 1, int(x))
        # A spot is no figure
        if solid[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5].mean() < 0.5:
            return "background"
        part = np.s_[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        colour = np.median(lab[part].reshape(-1, 3), axis=0)
        in_face = box is not None and box[0] <= x < box[2] and box[1] <= y < box[3]
        if any(float(np.linalg.norm(colour - one)) < ALIKE for one in hair):
            return "hair"
        if own_skin[part].mean() > 0.35:
            return "face" if in_face else "skin"
        return (
            "eyes"
            if in_face and box and y < box[1] + 0.75 * (box[3] - box[1])
            else "face"
            if in_face
            else "clothes"
        )

    return place


def _beside(lab: np.ndarray, usable: np.ndarray, box: tuple[float, ...]) -> list[np.ndarray]:
    """The main colours, other than dark lines, in two strips beside the face: hair, on all but the
    shortest.
    """
    left, top, right, bottom = (round(value) for value in box)
    width = max(2, round(0.25 * (right - left)))
    strips = [
        np.s_[top:bottom, max(0, left - width) : left],
        np.s_[top:bottom, right : right + width],
    ]
    colours = np.concatenate([lab[strip][usable[strip]] for strip in strips])
    colours = colours[colours[:, 0] > 12]
    found: list[np.ndarray] = []
    total = len(colours)
    while len(colours) and len(found) < 3:
        near = distance(colours[:, None], colours[None, :: max(1, len(colours) // 100)]) < 10
        middle = colours[int(near.sum(axis=1).argmax())]
        alike = distance(colours, middle) < 16
        if alike.sum() < 0.15 * total:
            break
        found.append(middle)
        colours = colours[~alike]
    return found
