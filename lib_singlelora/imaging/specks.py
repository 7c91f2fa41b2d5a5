"""Stray colours: small spots of a colour that neither their surroundings nor the picture near them
have.

A spot is a small extremum: it vanishes when the small parts of each level set are removed (an area
opening), which leaves lines, edges and corners as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .area_opening import small_extrema
from .boxes import PixelBox
from .colour import Lab, distance, to_lab

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
LARGEST = 6e-5  # of the picture's pixels; larger spots are details
SMALLEST = 3  # pixels
STEP = 4.0  # ΔE between two levels
CONTRAST = 10.0  # in one channel; a fainter spot is not examined
APART = 18.0  # ΔE from every colour around it, and from every mixture of two of them
SAME = 14.0  # ΔE below which two colours are one
COLOURED = 20.0  # CIELAB chroma
REACH = 0.12  # of the long side: where a colour of the picture counts as near
# The same for a coloured spot on a plain light surface; between dark lines, slivers of what lies
# behind them show.
CLOSE = 0.025


@dataclass(frozen=True)
class Speck:
    """A spot.

    area: pixels.
    colour, around: its colour and its surroundings', L*a*b*.
    number: in the label image.
    """

    box: PixelBox
    area: int
    colour: tuple[float, float, float]
    around: tuple[float, float, float]
    number: int

    @property
    def contrast(self) -> float:
        """ΔE of its colour from its surroundings."""
        return float(np.linalg.norm(np.subtract(self.colour, self.around)))


def find_specks(
    cv2: Any, image: Image.Image, each: Callable[[int, int], None] | None = None
) -> tuple[list[Speck], Labels]:
    """The spots, and their pixels as a label image (0: no spot).

    cv2: the OpenCV module.
    each: called with (done, total) between the passes; may raise to stop.
    """
    lab = to_lab(image)
    largest = max(40, round(LARGEST * image.width * image.height))
    residual = np.zeros(lab.shape[:2], dtype=np.float32)
    for index in range(3):
        for half, brighter in enumerate((True, False)):
            if each:
                each(2 * index + half, 6)
            np.maximum(
                residual,
                small_extrema(
                    cv2, np.ascontiguousarray(lab[..., index]), largest, brighter, STEP, CONTRAST
                ),
                out=residual,
            )
    labels: Labels
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (residual >= CONTRAST).astype(np.uint8), connectivity=8
    )
    flat = _flat(cv2, lab) & (labels == 0)
    specks = []
    for number in range(1, count):
        left, top, wide, high, area = (int(value) for value in stats[number])
        if SMALLEST <= area <= 2 * largest:
            speck = _judge(
                cv2, lab, labels, residual, flat, (left, top, left + wide, top + high), number
            )
            if speck:
                specks.append(speck)
    return specks, labels


def _flat(cv2: Any, lab: Lab) -> Mask:
    """The pixels whose neighbours have their colour: not those of edges, which are mixtures."""
    square = np.ones((3, 3), np.uint8)
    spread = cv2.dilate(lab, square) - cv2.erode(lab, square)
    flat: Mask = spread.max(axis=2) < 6
    return flat


def _judge(
    cv2: Any,
    lab: Lab,
    labels: Labels,
    residual: NDArray[np.float32],
    flat: Mask,
    box: PixelBox,
    number: int,
) -> Speck | None:
    """The spot, if neither its surroundings nor the picture near it have its colour."""
    near = _window(box, 8, lab.shape)
    own = labels[near] == number
    stands = np.where(own, residual[near], 0)
    core = stands >= 0.7 * stands.max()
    colour = np.median(lab[near][core], axis=0)
    outer = cv2.dilate(own.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    inner = cv2.dilate(own.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    ring = lab[near][outer & ~inner & (labels[near] == 0)]
    if len(ring) < 4 or _from_mixtures(colour, ring) < APART:
        return None
    around = np.median(ring, axis=0)
    # Small marks in the colours of lines and of light are everywhere: a nose, a button's gleam.
    coloured = float(np.hypot(colour[1], colour[2])) > COLOURED
    plain = coloured and around[0] > 40 and float(np.mean(distance(ring, around) < SAME)) > 0.8
    wide = _window(box, round((CLOSE if plain else REACH) * max(lab.shape[:2])), lab.shape)
    similar = distance(lab[wide][flat[wide]], colour.astype(np.float32)) < SAME
    area = int(own.sum())
    if similar.sum() > max(30, 2 * area):
        return None
    speck_colour = (float(colour[0]), float(colour[1]), float(colour[2]))
    ring_colour = (float(around[0]), float(around[1]), float(around[2]))
    return Speck(box, area, speck_colour, ring_colour, number)


def _from_mixtures(colour: NDArray[np.float32], ring: NDArray[np.float32]) -> float:
    """ΔE of a colour from the nearest mixture of two of the ring's colours."""
    palette = list(_palette(ring))
    best = min(float(np.linalg.norm(colour - end)) for end in palette)
    for index, start in enumerate(palette):
        for end in palette[index + 1 :]:
            line = end - start
            share = float(np.clip((colour - start) @ line / max(float(line @ line), 1e-6), 0, 1))
            best = min(best, float(np.linalg.norm(colour - start - share * line)))
    return best


def _palette(colours: NDArray[np.float32], most: int = 6) -> Iterator[NDArray[np.float32]]:
    """The main colours, at least SAME apart: the one with most neighbours first."""
    rest = colours[:: max(1, len(colours) // 200)]
    while len(rest) and most:
        near = distance(rest[:, None], rest[None]) < SAME / 2
        middle = rest[int(near.sum(axis=1).argmax())]
        yield middle
        rest = rest[distance(rest, middle) >= SAME]
        most -= 1


def _window(box: PixelBox, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The rows and columns of a box with a margin, within the picture."""
    left, top, right, bottom = box
    rows = slice(max(0, top - margin), min(shape[0], bottom + margin))
    return rows, slice(max(0, left - margin), min(shape[1], right + margin))
