"""Where on the figure a spot lies, by the mask, the skin and the colours beside the face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from .boxes import PixelBox
from .colour import distance, to_lab
from .face_by_colour import find_face, skin

WORKING_SIDE = 256  # long side, pixels
ALIKE = 22.0  # ΔE from a colour of the hair


def place_finder(image: Image.Image, mask: Image.Image) -> Callable[[PixelBox, str], str]:
    """A function that gives the place of a box: hair, eyes, face, skin, clothes or background."""
    scale = max(image.size) / WORKING_SIDE
    size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    small = image.resize(size, Image.Resampling.BOX)
    lab = to_lab(small)
    solid = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127
    skin_pixels = skin(small)
    face = find_face(image, mask)
    box = tuple(value / scale for value in face) if face else None
    hair = _colours_beside(lab, solid & ~skin_pixels, box) if box else []

    def place(spot: PixelBox, around: str) -> str:
        x = (spot[0] + spot[2]) / 2 / scale
        y = (spot[1] + spot[3]) / 2 / scale
        row = min(size[1] - 1, int(y))
        column = min(size[0] - 1, int(x))
        # The surroundings decide: a spot alone is no figure.
        if solid[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5].mean() < 0.5:
            return "background"
        part = np.s_[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        colour = np.median(lab[part].reshape(-1, 3), axis=0)
        in_face = box is not None and box[0] <= x < box[2] and box[1] <= y < box[3]
        if any(float(np.linalg.norm(colour - strand)) < ALIKE for strand in hair):
            return "hair"
        if skin_pixels[part].mean() > 0.35:
            return "face" if in_face else "skin"
        if not box or not in_face:
            return "clothes"
        return "eyes" if y < box[1] + 0.75 * (box[3] - box[1]) else "face"

    return place


def _colours_beside(
    lab: np.ndarray, usable: np.ndarray, box: tuple[float, ...]
) -> list[np.ndarray]:
    """The main colours, other than dark lines, in two strips beside the face.

    They are the hair's, unless it is very short.
    """
    left, top, right, bottom = (round(value) for value in box)
    width = max(2, round(0.25 * (right - left)))
    strips = [
        np.s_[top:bottom, max(0, left - width) : left],
        np.s_[top:bottom, right : right + width],
    ]
    colours = np.concatenate([lab[strip][usable[strip]] for strip in strips])
    colours = colours[colours[:, 0] > 12]
    main: list[np.ndarray] = []
    total = len(colours)
    while len(colours) and len(main) < 3:
        near = distance(colours[:, None], colours[None, :: max(1, len(colours) // 100)]) < 10
        middle = colours[int(near.sum(axis=1).argmax())]
        alike = distance(colours, middle) < 16
        if alike.sum() < 0.15 * total:
            break
        main.append(middle)
        colours = colours[~alike]
    return main
