"""Named crops of one picture, proposed from where the character is.

The body is measured in heads: a standing figure is about 6.5 of them tall, and each view ends at a
known height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..imaging.boxes import PixelBox, SubpixelBox, box_size
from ..imaging.face_by_colour import find_face
from .buckets import Size, crop_box, nearest_bucket

HEADS = 6.5  # height of a standing figure whose head cannot be told from its outline
SMALLEST = 32  # side of a crop, pixels
SHORTEST = 2.2  # heads: a whole figure is taller
LOST = 0.25  # of a view may be cut off by training; else it does not show what its name says
SAME = 0.92  # boxes that overlap more (intersection over union) show the same


@dataclass(frozen=True)
class View:
    """A crop.

    tags: its framing, for captions.
    box: in the prepared picture.
    confidence: 0 to 1, how surely the crop shows what its name says.
    """

    name: str
    tags: tuple[str, ...]
    box: PixelBox
    confidence: float = 1.0


@dataclass(frozen=True)
class Figure:
    """The character's measures in the picture, pixels.

    left, top, right, bottom: of the whole figure, raised hands included.
    crown: the upper end of head, hair and hat.
    head: from the crown to the chin.
    centre: the column of the head's middle.
    cut: True if the picture's lower edge cuts the character.
    heads: height of the whole body in heads; more than is shown if it is cut.
    face: the face's box, where it was found.
    sure: 0 to 1, how surely the chin is known.
    """

    left: int
    top: int
    right: int
    bottom: int
    crown: int
    head: float
    head_width: float
    centre: float
    cut: bool
    heads: float
    face: PixelBox | None = None
    sure: float = 1.0


@dataclass(frozen=True)
class Framing:
    """A view by its place on the body.

    start, end: from the top of the head (0) through the chin (1) to the feet (2).
    widths: of the head; 0 for as wide as the body.
    slack: share of the width that may be lost rather than growing to a bucket's aspect ratio.
    """

    name: str
    tags: tuple[str, ...]
    start: float
    end: float
    widths: float = 0.0
    slack: float = 0.0


# Between chin (1) and feet (2) the waist lies at 1.3, the hips at 1.42, mid-thigh at 1.6.
FRAMINGS = (
    Framing("full_body", ("full body",), -0.08, 2.03),
    Framing("cowboy_shot", ("cowboy shot",), -0.08, 1.6),
    Framing("upper_body", ("upper body",), -0.08, 1.38),
    Framing("lower_body", ("lower body", "head out of frame"), 1.36, 2.03),
    Framing("head_out_of_frame", ("head out of frame",), 1.02, 1.6),
    Framing("portrait", ("portrait",), -0.08, 1.14, 1.7, 0.15),
    Framing("face", ("close-up", "face focus"), 0.16, 1.04, 1.1),
    Framing("bangs_close-up", ("close-up",), 0.0, 0.62, 0.9),
)
# Views by the face, where it was found: margins beside it (in its widths), above and below it (in
# its heights).
ON_THE_FACE = {"face": (0.12, 0.3, 0.17), "bangs_close-up": (0.18, 0.55, -0.5)}
PORTRAIT_BELOW = 0.45  # of the head: a portrait goes no further below the chin
ENOUGH = 0.86  # of what a view shows must be in the picture
LEAST = 0.5  # confidence; a less sure view is proposed only on request


def propose_views(
    mask: Image.Image,
    buckets: list[Size],
    image: Image.Image | None = None,
    *,
    face: PixelBox | None = None,
    least: float = LEAST,
) -> list[View]:
    """The views that this picture allows, widest first.

    Each has the aspect ratio of a bucket where one fits.  Views of what the picture's lower edge
    cuts off are not proposed.

    mask: L, as large as the picture, 255 is the character.
    image: the picture, in which the face is looked for.
    face: where a detector found it.
    least: the confidence that a view needs.
    """
    figure = figure_in(mask, image, face)
    views: list[View] = []
    for framing in FRAMINGS:
        wanted = _wanted_box(framing, figure)
        sure = _confidence(framing, figure, image)
        if wanted is None or sure < least:
            continue
        box = fit_aspect(
            wanted,
            mask.size,
            buckets,
            below=framing.start > 1,
            slack=framing.slack,
            ends=1.3 < framing.end < 2,
        )
        small = min(box_size(box)) < SMALLEST
        if (
            not small
            and lost_to_bucket(box, buckets) <= LOST
            and all(overlap(box, view.box) < SAME for view in views)
        ):
            views.append(View(framing.name, framing.tags, box, sure))
    return views or [View("whole", (), (0, 0, *mask.size), 1.0)]


def figure_in(
    mask: Image.Image, image: Image.Image | None = None, face: PixelBox | None = None
) -> Figure:
    """The character's measures, by the mask and, where a picture is given, by the face in it.

    mask, image, face: as in `propose_views`.
    """
    if face is None and image is not None:
        face = find_face(image, mask)
    figure = measure(mask, face)
    if face and image is not None and not plain_border(image):
        figure = _with_room(figure, face)
        # Nobody is that short: the mask lacks the lower part.
        if figure.bottom - figure.crown < SHORTEST * figure.head:
            figure = replace(figure, cut=True, heads=max(figure.heads, SHORTEST + 1))
    return figure


def _with_room(figure: Figure, face: PixelBox) -> Figure:
    """The figure with room for a head of the usual size around the face.

    An outline on a lively background may lack hair or hat.
    """
    side = max(box_size(face))
    middle = (face[0] + face[2]) / 2
    chin = figure.crown + figure.head
    crown = max(0, min(figure.crown, round(chin - 1.3 * side)))
    half = 0.85 * side
    return replace(
        figure,
        crown=crown,
        top=min(figure.top, crown),
        head=chin - crown,
        head_width=max(figure.head_width, 1.3 * side),
        left=max(0, min(figure.left, round(middle - half))),
        right=max(figure.right, round(middle + half)),
    )


def _confidence(framing: Framing, figure: Figure, image: Image.Image | None) -> float:
    """How sure a view is, 0 to 1.

    A view that depends on the chin is as sure as the chin; a face that was not found in the picture
    is hardly there.
    """
    on_face = framing.name in ON_THE_FACE
    if figure.face:
        return round(0.95 if on_face or framing.end > 2 > framing.start + 1.5 else 0.9, 2)
    sure = 1.0 if framing.start < 0 and framing.end > 2 else figure.sure
    if image is None:
        return round(max(LEAST, sure), 2)
    if not plain_border(image):  # the outline may be another thing's
        sure *= 0.45
    return round(min(sure, 0.25) if on_face else sure, 2)


def plain_border(image: Image.Image) -> bool:
    """True if most of the picture's border has one colour, so that an outline can be trusted."""
    small = np.asarray(
        image.convert("RGB").resize((128, 128), Image.Resampling.NEAREST), dtype=np.int16
    )
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    far = np.abs(border - np.median(border, axis=0)).max(axis=1)
    return bool((far <= 16).mean() >= 0.6)


def _wanted_box(framing: Framing, figure: Figure) -> SubpixelBox | None:
    """The part of the figure that the framing means; None if too little of it is in the picture."""
    if figure.face and framing.name in ON_THE_FACE:
        return _on_the_face(framing.name, figure, figure.face)
    start = row_of(framing.start, figure)
    end = row_of(framing.end, figure)
    if framing.start < 0 and not framing.widths:
        start = min(start, figure.top + framing.start * figure.head)
    if framing.name == "portrait":
        end = min(end, figure.crown + (1 + PORTRAIT_BELOW) * figure.head)
    elif figure.cut and framing.end > 1:
        if framing.end > 2 or (figure.bottom - figure.crown < ENOUGH * (end - figure.crown)):
            return None
        end = min(end, figure.bottom)
        if end - start < 0.7 * figure.head:
            return None
    bottom = (
        min(end, figure.bottom + 0.03 * figure.head) if framing.end > 2 else min(end, figure.bottom)
    )
    if framing.widths:
        half = framing.widths * max(figure.head_width, 0.7 * figure.head) / 2
        return figure.centre - half, start, figure.centre + half, bottom
    margin = 0.08 * figure.head
    return figure.left - margin, start, figure.right + margin, bottom


def _on_the_face(name: str, figure: Figure, face: PixelBox) -> SubpixelBox:
    """A view placed by the face.

    Bangs or a hat may hide the forehead and hair the cheeks, so the face is taken to be at least as
    large as the head suggests.  A profile lies at one edge of the head; what is missing of it lies
    towards the head's middle.
    """
    left, forehead, right, chin = (float(value) for value in face)
    least = (0.48 if name == "face" else 0.75) * figure.head_width
    if right - left < least:
        towards = (left + right) / 2 < figure.centre
        sideways = right - left < 0.6 * figure.head_width
        missing = least - (right - left)
        left -= missing * (0.5 if not sideways else 0.0 if towards else 1.0)
        right += missing * (0.5 if not sideways else 1.0 if towards else 0.0)
    beside, above, below = ON_THE_FACE[name]
    width = right - left
    height = max(
        chin - forehead, 0.8 * (face[2] - face[0]), 0.5 * min(figure.head, 1.3 * figure.head_width)
    )
    return (
        left - beside * width,
        max(figure.crown, chin - height - above * height),
        right + beside * width,
        chin + below * height,
    )


def row_of(place: float, figure: Figure) -> float:
    """The row of a place on the body: 0 top of the head, 1 chin, 2 feet."""
    if place <= 1:
        return figure.crown + place * figure.head
    return figure.crown + figure.head * (1 + (place - 1) * (figure.heads - 1))


def measure(mask: Image.Image, face: PixelBox | None = None) -> Figure:
    """The measures of the figure with this outline; an empty mask counts as filled.

    face: tells where the chin is.
    """
    solid = np.asarray(mask.convert("L")) > 127
    if not solid.any():
        solid = np.ones_like(solid)
    top, bottom = _span(solid.sum(axis=1))
    left, right = _span(solid.sum(axis=0))
    cut = bottom >= solid.shape[0] * 0.985 and bool(solid[-1].sum() > 0.25 * (right - left))
    crown = _crown(solid, top, bottom, face)
    widths = solid[crown:bottom].sum(axis=1).astype(np.float64)
    if face:
        head = float(face[3] - crown)
        sure = 1.0
    else:
        head, sure = _head_height(widths, right - left, cut)
    head = max(1.0, head)
    skull = solid[crown : crown + max(1, round(head))].sum(axis=0)
    centre = float((skull * np.arange(solid.shape[1])).sum() / max(1, skull.sum()))
    head_width = min(float(np.percentile(widths[: max(1, round(head))], 75)), 1.3 * head)
    visible = (bottom - crown) / head
    heads = max(_heads(widths, head, head_width), visible) if cut else visible
    return Figure(left, top, right, bottom, crown, head, head_width, centre, cut, heads, face, sure)


def _crown(solid: NDArray[np.bool_], top: int, bottom: int, face: PixelBox | None) -> int:
    """The row where the head begins: the outline's upper end above the face or the body's middle.

    Raised hands may reach higher.
    """
    if face:
        middle = (face[0] + face[2]) // 2
        half = max(1, (face[2] - face[0]) // 6)
        column = solid[: max(1, face[1] + 1), max(0, middle - half) : middle + half + 1].any(axis=1)
        gaps = np.flatnonzero(~column)
        return int(min(max(top, gaps[-1] + 1 if len(gaps) else top), max(0, face[1])))
    columns = np.flatnonzero(solid.any(axis=0))
    share = np.cumsum(solid.sum(axis=0))
    middle = int(np.searchsorted(share, share[-1] / 2))
    half = max(1, len(columns) // 30)
    filled = np.flatnonzero(solid[:, max(0, middle - half) : middle + half + 1].any(axis=1))
    crown = int(filled[0]) if len(filled) else top
    return crown if crown - top < 0.25 * (bottom - top) else top


def _heads(widths: NDArray[np.float64], head: float, head_width: float) -> float:
    """The height in heads of a figure whose legs are not shown.

    The broader the shoulders are compared with the head, the taller.

    widths: of the outline at each row from the crown down.
    """
    shoulders = widths[round(1.3 * head) : round(2 * head)]
    if len(shoulders) < 0.2 * head:
        return HEADS
    broad = float(np.median(shoulders)) / max(1.0, head_width)
    return float(np.clip(3.3 + 3 * (broad - 1.1), 3.0, HEADS))


def _span(counts: NDArray[np.int64]) -> tuple[int, int]:
    """The first and one past the last index whose count is more than a speck's."""
    filled = np.flatnonzero(counts > max(1, 0.01 * counts.max()))
    return int(filled[0]), int(filled[-1]) + 1


def _head_height(widths: NDArray[np.float64], total_width: int, cut: bool) -> tuple[float, float]:
    """(height of the head, how sure that is, 0 to 1) by the outline's width at each row.

    The neck is the narrowest place below a wider one, no further down than a head is long.  Where
    hair hides it, the shoulders tell, at which the outline widens suddenly; failing both, the usual
    proportion does.
    """
    height = len(widths)
    shortest, longest = (0.2, 0.75) if cut else (1 / 9, 0.5)
    usual = min(0.62 * height, 0.75 * total_width) if cut else height / HEADS
    smooth = (
        np.convolve(np.pad(widths, 4, mode="edge"), np.ones(9) / 9, mode="valid")
        if height > 9
        else widths
    )
    above = np.maximum.accumulate(smooth)
    below = np.maximum.accumulate(smooth[::-1])[::-1]
    first = math.ceil(shortest * height)
    last = max(first + 1, int(longest * height))
    depth = np.minimum(above, below)[first:last] / np.maximum(smooth[first:last], 1)
    usual_width = np.array([np.median(smooth[: row + 1]) for row in range(first, last)])
    depth[np.arange(first, last) > 1.6 * usual_width] = 0
    # What is much wider than high is the brim of a hat, not a head above its neck.
    depth[np.arange(first, last) < 0.75 * above[first:last]] = 0
    if len(depth) and depth.max() > 1.25:
        return float(first + int(np.argmax(depth))), 0.8
    for row in range(first, last):
        if smooth[row] > 1.5 * usual_width[row - first]:
            return float(max(row, shortest * height)), 0.6
    return float(np.clip(usual, shortest * height, longest * height)), 0.5


def fit_aspect(
    wanted: SubpixelBox,
    size: Size,
    buckets: list[Size],
    *,
    below: bool = False,
    slack: float = 0.0,
    ends: bool = False,
) -> PixelBox:
    """The smallest box of a bucket's aspect ratio around the wanted one, within the picture.

    Where no such box fits into the picture, the wanted one is cut to it.

    below: the box must not grow upwards, because what is above must not be shown; it may then lose
        what lies at its sides.
    slack: share of the width that may be lost anyway.
    ends: what lies below should not be shown, so the box rather grows sideways.
    """
    width, height = size
    left = max(0.0, wanted[0])
    top = max(0.0, wanted[1])
    right = max(min(wanted[2], width), left + 1)
    bottom = max(min(wanted[3], height), top + 1)
    room = height - top if below else height
    fitting = []
    for aspect in sorted({bucket[0] / bucket[1] for bucket in buckets}):
        wide = max(right - left, (bottom - top) * aspect)
        high = max(bottom - top, (right - left) / aspect)
        if below:
            high = min(high, room)
            wide = min(wide, high * aspect)
        elif high > bottom - top and (bottom - top) * aspect >= (1 - slack) * (right - left):
            wide = (bottom - top) * aspect
            high = bottom - top
        if wide <= width + 0.5 and high <= height + 0.5:
            lost = max(0.0, right - left - wide) * high
            cost = wide * high + 2 * lost + (high - bottom + top) * wide * ends
            fitting.append((cost, wide, high))
    if fitting:
        _, wide, high = min(fitting)
        left = min(max(0.0, (left + right - wide) / 2), max(0.0, width - wide))
        if not below:
            top = min(max(0.0, (top + bottom - high) / 2), max(0.0, height - high))
        right = left + wide
        bottom = top + high
    return round(left), round(top), min(width, round(right)), min(height, round(bottom))


def lost_to_bucket(box: PixelBox, buckets: list[Size]) -> float:
    """The share of a box that training cuts off, because no bucket has its aspect ratio."""
    size = box_size(box)
    left, top, right, bottom = crop_box(size, nearest_bucket(size, buckets))
    return 1 - (right - left) * (bottom - top) / (size[0] * size[1])


def overlap(box: PixelBox, other: PixelBox) -> float:
    """Intersection over union of two boxes."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0, width) * max(0, height)
    areas = math.prod(box_size(box)) + math.prod(box_size(other))
    return shared / max(1, areas - shared)
