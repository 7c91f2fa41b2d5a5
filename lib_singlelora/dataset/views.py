"""Named crops of one picture, proposed by geometry from where the character is.

The body is measured in heads: a standing figure is about 6.5 of them tall, and each view ends at a known one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .buckets import Size
from .face import Box, find_face

HEADS = 6.5  # Height of a standing figure whose head cannot be told from its outline.
SMALLEST = 32
SAME = 0.88  # Boxes that overlap more (intersection over union) show the same.


@dataclass(frozen=True)
class View:
    """A crop.  tags: what a caption says about its framing.  box: (left, top, right, bottom), pixels."""

    name: str
    tags: tuple[str, ...]
    box: Box


@dataclass(frozen=True)
class Figure:
    """The character in the picture, pixels.

    head: height of the head with the hair.  centre: column of the head's middle.  cut: the lower edge of the picture
    cuts the character.  heads: height of the whole body in heads; more than is seen when it is cut.
    face: box of the face's skin, where it was seen.
    """

    left: int
    top: int
    right: int
    bottom: int
    head: float
    head_width: float
    centre: float
    cut: bool
    face: Box | None = None

    @property
    def visible(self) -> float:
        """How many heads of it are in the picture."""
        return (self.bottom - self.top) / self.head

    @property
    def heads(self) -> float:
        """Height of the whole body."""
        return max(HEADS, self.visible) if self.cut else self.visible


@dataclass(frozen=True)
class Framing:
    """A view by its place on the body.

    start, end: from the top of the head (0) through the chin (1) to the feet (2).  wide: as wide as the body instead of
    this many head widths.
    """

    name: str
    tags: tuple[str, ...]
    start: float
    end: float
    widths: float = 0.0


# Where a body's lines are between chin (1) and feet (2): waist 1.3, hips 1.42, middle of the thighs 1.6.
FRAMINGS = (
    Framing("full_body", ("full body",), -0.08, 2.03),
    Framing("cowboy_shot", ("cowboy shot",), -0.08, 1.6),
    Framing("upper_body", ("upper body",), -0.08, 1.38),
    Framing("lower_body", ("lower body", "head out of frame"), 1.36, 2.03),
    Framing("head_out_of_frame", ("head out of frame",), 1.02, 1.6),
    Framing("portrait", ("portrait",), -0.08, 1.14, 1.7),
    Framing("face", ("close-up", "face focus"), 0.16, 1.04, 1.1),
    Framing("bangs_close-up", ("close-up",), 0.0, 0.62, 0.9),
)


# Where the face itself was seen: margins beside it (in its widths), above and below it (in its heights).
ON_THE_FACE = {"face": (0.12, 0.3, 0.12), "bangs_close-up": (0.18, 0.55, -0.5)}


def propose_views(mask: Image.Image, buckets: list[Size], image: Image.Image | None = None) -> list[View]:
    """The views that this picture allows, widest first, each with the aspect ratio of a bucket where that fits.

    mask: L, as large as the picture, 255 is the character.  image: the picture, in which the face is looked for.
    What the picture's lower edge cuts off is not proposed.
    """
    figure = measure(mask, find_face(image, mask) if image is not None else None)
    views: list[View] = []
    for framing in FRAMINGS:
        wanted = _wanted_box(framing, figure)
        if wanted is None:
            continue
        box = fit_aspect(wanted, mask.size, buckets)
        small = min(box[2] - box[0], box[3] - box[1]) < SMALLEST
        if not small and all(overlap(box, view.box) < SAME for view in views):
            views.append(View(framing.name, framing.tags, box))
    return views or [View("whole", (), (0, 0, *mask.size))]


def _wanted_box(framing: Framing, figure: Figure) -> tuple[float, float, float, float] | None:
    """The part of the figure that the framing means, or None when too little of that is in the picture."""
    if figure.face and framing.name in ON_THE_FACE:
        left, forehead, right, chin = figure.face
        side, above, below = ON_THE_FACE[framing.name]
        # Bangs or a hat may hide the forehead; a face is at least as high as this, so the eyes are in it.
        wide, high = right - left, max(chin - forehead, 0.8 * (right - left))
        return left - side * wide, max(figure.top, chin - high - above * high), right + side * wide, chin + below * high
    start, end = _line(framing.start, figure), _line(framing.end, figure)
    if figure.cut and framing.end > 1.14:
        from_head = framing.start < 1
        if framing.end > 2 or (from_head and figure.bottom - figure.top < 0.8 * (end - figure.top)):
            return None
        end = min(end, figure.bottom)
        if end - start < 0.7 * figure.head:
            return None
    bottom = min(end, figure.bottom + 0.03 * figure.head) if framing.end > 2 else min(end, figure.bottom)
    if framing.widths:
        half = framing.widths * max(figure.head_width, 0.7 * figure.head) / 2
        return figure.centre - half, start, figure.centre + half, bottom
    margin = 0.08 * figure.head
    return figure.left - margin, start, figure.right + margin, bottom


def _line(place: float, figure: Figure) -> float:
    """Row of a place on the body: 0 top of the head, 1 chin, 2 feet."""
    if place <= 1:
        return figure.top + place * figure.head
    return figure.top + figure.head * (1 + (place - 1) * (figure.heads - 1))


def measure(mask: Image.Image, face: Box | None = None) -> Figure:
    """Find head and body in an outline; an empty one counts as filled.  face: tells where the chin is."""
    solid = np.asarray(mask.convert("L")) > 127
    if not solid.any():
        solid = np.ones_like(solid)
    rows, columns = _span(solid.sum(axis=1)), _span(solid.sum(axis=0))
    top, bottom, left, right = rows[0], rows[1], columns[0], columns[1]
    cut = bottom >= solid.shape[0] * 0.985 and bool(solid[-1].sum() > 0.25 * (right - left))
    widths = solid[top:bottom].sum(axis=1).astype(np.float64)
    head = float(face[3] - top) if face else _head_height(widths, right - left, cut)
    crown = solid[top : top + max(1, round(head))].sum(axis=0)
    centre = float((crown * np.arange(solid.shape[1])).sum() / max(1, crown.sum()))
    head_width = float(np.percentile(widths[: max(1, round(head))], 75))
    return Figure(left, top, right, bottom, head, min(head_width, 1.3 * head), centre, cut, face)


def _span(counts: NDArray[np.int64]) -> tuple[int, int]:
    """First and one past the last index whose count is more than specks."""
    filled = np.flatnonzero(counts > max(1, 0.01 * counts.max()))
    return int(filled[0]), int(filled[-1]) + 1


def _head_height(widths: NDArray[np.float64], total_width: int, cut: bool) -> float:
    """Height of the head from the outline's width at each row, top to bottom.

    The neck is the narrowest place below a wider one, no further down than a head is long; hair hides it on many
    drawings, then the shoulders, where the outline widens at once, tell; failing both, the customary proportion does.
    """
    height = len(widths)
    shortest, longest = (0.2, 0.75) if cut else (1 / 9, 0.5)
    usual = min(0.62 * height, 0.75 * total_width) if cut else height / HEADS
    smooth = np.convolve(np.pad(widths, 4, mode="edge"), np.ones(9) / 9, mode="valid") if height > 9 else widths
    above = np.maximum.accumulate(smooth)
    below = np.maximum.accumulate(smooth[::-1])[::-1]
    first, last = math.ceil(shortest * height), max(math.ceil(shortest * height) + 1, int(longest * height))
    depth = np.minimum(above, below)[first:last] / np.maximum(smooth[first:last], 1)
    usual_width = np.array([np.median(smooth[: row + 1]) for row in range(first, last)])
    depth[np.arange(first, last) > 1.6 * usual_width] = 0
    # What is much flatter than wide is the brim of a hat, not a head above its neck.
    depth[np.arange(first, last) < 0.75 * above[first:last]] = 0
    if len(depth) and depth.max() > 1.25:
        return float(first + int(np.argmax(depth)))
    for row in range(first, last):
        if smooth[row] > 1.5 * usual_width[row - first]:
            return float(max(row, shortest * height))
    return float(np.clip(usual, shortest * height, longest * height))


def fit_aspect(wanted: tuple[float, float, float, float], size: Size, buckets: list[Size]) -> Box:
    """The smallest box around the wanted one that lies in the picture and has a bucket's aspect ratio.

    Where no such box fits into the picture, the wanted one is cut to the picture.
    """
    width, height = size
    left, top, right, bottom = (max(0.0, wanted[0]), max(0.0, wanted[1]), min(wanted[2], width), min(wanted[3], height))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    grown = []
    for aspect in sorted({bucket[0] / bucket[1] for bucket in buckets}):
        wide, high = max(right - left, (bottom - top) * aspect), max(bottom - top, (right - left) / aspect)
        if wide <= width + 0.5 and high <= height + 0.5:
            grown.append((wide * high, wide, high))
    if grown:
        _, wide, high = min(grown)
        left = min(max(0.0, (left + right - wide) / 2), max(0.0, width - wide))
        top = min(max(0.0, (top + bottom - high) / 2), max(0.0, height - high))
        right, bottom = left + wide, top + high
    return round(left), round(top), min(width, round(right)), min(height, round(bottom))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, wide) * max(0, high)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(1, sum(areas) - shared)
