"""Parts of the character in a picture, each as a mask: head, hair, torso, sleeves, skirt, feet …

They lie where a body has them, between crown, chin and feet, and end where the colours change
(`garments`); what is there, hat or hair, skirt or trousers, geometry does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..imaging.boxes import PixelBox, SubpixelBox
from .buckets import Size
from .details import propose_details
from .garments import hem_below, waist_of
from .views import Figure, measure, row_of

# From a row to a row of the body, as in `views.Framing`: 0 crown, 1 chin, 2 feet.
ROWS = {"torso": (1.06, 1.42), "skirt": (1.38, 1.82), "legs": (1.6, 1.88), "feet": (1.84, 2.04)}
SLEEVES = (1.06, 1.62)
TORSO = 0.34  # half width of the torso without sleeves, widths of the body with hanging arms
HEAD = 0.72  # half width of the head with its hair, widths of the head
ABOVE = 0.12  # of the head: masks of it begin so far above the crown
HAT = 0.36  # of the head, from above, where no face tells where the forehead begins
OTHER_WORDS = {
    "top": "hat",
    "face": "head",
    "shirt": "torso",
    "top of the head": "hat",
    "hips": "skirt",
    "trousers": "skirt",
    "shoes": "feet",
    "boots": "feet",
}
LEAST_LEGS = 0.1  # of the body below the chin: legs that a skirt shows less of are none
LEAST = 0.004  # of the figure's area: a smaller part is no exam
CLOTH = 0.03  # of the figure's height: masks go so far beyond the outline, for a new one


@dataclass(frozen=True)
class Part:
    """A part of the character.

    name: one of `ROWS`, head, hat (what is above the face: hat or hair), hair (beside the face),
        left sleeve, right sleeve (as the viewer sees them), or detail 1, detail 2 …
    mask: L, as large as the picture, white is the part.
    """

    name: str
    mask: Image.Image


def propose_parts(
    mask: Image.Image,
    image: Image.Image,
    face: PixelBox | None = None,
    details: int = 3,
    buckets: list[Size] | None = None,
) -> list[Part]:
    """The parts that the picture shows, from top to bottom, then the richest details.

    mask: L, as large as the picture, 255 is the character.
    face: where it was found.
    buckets: what details take their shape from.
    """
    figure = measure(mask, face)
    solid = np.asarray(mask.convert("L")) > 127
    reach = max(1, round(CLOTH * (figure.bottom - figure.top)))
    grown = _grown(mask, reach)
    parts = []
    for name, boxes, without in _places(figure, solid, image):
        wanted = _filled(boxes, mask.size) & ~_filled(without, mask.size)
        if (wanted & solid).sum() >= LEAST * solid.sum():
            parts.append(Part(name, _image(wanted & grown)))
    for view in propose_details(mask, buckets or [(1, 1)], image, figure.face, details):
        name = view.name.replace("_", " ")
        parts.append(Part(name, _image(_filled([view.box], mask.size) & grown)))
    return parts


def find_part(parts: list[Part], name: str) -> Part | None:
    """The part of that name, or of one of its other words."""
    wanted = " ".join(name.lower().replace("_", " ").split())
    wanted = OTHER_WORDS.get(wanted, wanted)
    return next((part for part in parts if part.name == wanted), None)


def _places(
    figure: Figure, solid: NDArray[np.bool_], image: Image.Image
) -> list[tuple[str, list[SubpixelBox], list[SubpixelBox]]]:
    """(name, boxes, boxes that are left out of them) of each part that the picture does not cut."""
    crown = float(figure.crown)
    chin = crown + figure.head
    width = max(figure.head_width, 0.7 * figure.head)
    left, right = figure.centre - HEAD * width, figure.centre + HEAD * width
    face: SubpixelBox = figure.face or (
        figure.centre - 0.3 * width,
        crown + HAT * figure.head,
        figure.centre + 0.3 * width,
        chin,
    )
    # From above the crown: an outline that the mask only touches would stay beside the new one.
    above = crown - ABOVE * figure.head
    head = (left, above, right, chin + 0.04 * figure.head)
    places: list[tuple[str, list[SubpixelBox], list[SubpixelBox]]] = [
        ("head", [head], []),
        ("hat", [(left, above, right, face[1] + 0.1 * (face[3] - face[1]))], []),
        ("hair", [head], [face]),
    ]
    rows = {name: (row_of(top, figure), row_of(low, figure)) for name, (top, low) in ROWS.items()}
    start, end = (row_of(place, figure) for place in SLEEVES)
    middle, body = _body(figure, solid, rows["torso"])
    inner, outer = middle - TORSO * body, middle + TORSO * body
    rows = _between_garments(rows, figure, image, solid, (inner, outer))
    boxes: dict[str, SubpixelBox] = {
        "torso": (inner, rows["torso"][0], outer, rows["torso"][1]),
        "left sleeve": (float(figure.left), start, inner, end),
        "right sleeve": (outer, start, float(figure.right), end),
        **{
            name: (float(figure.left), *rows[name][:1], float(figure.right), rows[name][1])
            for name in ("skirt", "legs", "feet")
            if name in rows
        },
    }
    lowest = figure.bottom + 0.02 * (figure.bottom - figure.top)
    places += [
        (name, [box], []) for name, box in boxes.items() if not figure.cut or box[3] <= lowest
    ]
    return places


def _between_garments(
    rows: dict[str, tuple[float, float]],
    figure: Figure,
    image: Image.Image,
    solid: NDArray[np.bool_],
    columns: tuple[float, float],
) -> dict[str, tuple[float, float]]:
    """The rows of the parts, moved to where garments end: a mask across a skirt leaves half of the
    old one beside the new one.

    columns: of the torso, where arms do not count.
    """
    body = row_of(2, figure) - row_of(1, figure)
    waist = waist_of(image, solid, rows["torso"][1], body, columns)
    hem = hem_below(image, solid, rows["skirt"][0] if waist is None else waist, body, columns)
    moved = dict(rows)
    if waist is not None:
        moved["torso"] = rows["torso"][0], waist
        moved["skirt"] = waist, rows["skirt"][1]
    if hem is not None:
        moved["skirt"] = moved["skirt"][0], hem
        moved["legs"] = hem, rows["legs"][1]
        if rows["legs"][1] - hem < LEAST_LEGS * body:
            del moved["legs"]
    return moved


def _body(
    figure: Figure, solid: NDArray[np.bool_], rows: tuple[float, float]
) -> tuple[float, float]:
    """(the column of the body's middle, its usual width) in these rows, pixels."""
    inside = solid[max(0, round(rows[0])) : max(1, round(rows[1]))]
    edges = [np.flatnonzero(row)[[0, -1]] for row in inside if row.any()]
    if not edges:
        return figure.centre, figure.head_width
    left, right = np.median(np.array(edges), axis=0)
    return float(left + right) / 2, float(right - left + 1)


def _filled(boxes: list[SubpixelBox], size: Size) -> NDArray[np.bool_]:
    """Where any of the boxes lies, (H, W)."""
    filled = np.zeros((size[1], size[0]), dtype=bool)
    for left, top, right, bottom in boxes:
        filled[
            max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))
        ] = True
    return filled


def _grown(mask: Image.Image, reach: int) -> NDArray[np.bool_]:
    """The figure and what lies within `reach` pixels around it, (H, W)."""
    scale = max(1, reach // 4)  # a large filter is slow: the picture is reduced for it
    size = max(1, mask.width // scale), max(1, mask.height // scale)
    small = mask.convert("L").resize(size, Image.Resampling.BOX)
    near = small.filter(ImageFilter.MaxFilter(2 * max(1, round(reach / scale)) + 1))
    return np.asarray(near.resize(mask.size, Image.Resampling.BILINEAR)) > 127


def _image(mask: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
