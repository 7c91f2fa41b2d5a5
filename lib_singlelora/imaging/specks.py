"""Stray colours: small spots whose colour is neither that of their surroundings nor one of the
picture's near them.

A spot is a small extremum: it vanishes when parts of a level set that are smaller than a spot are
taken away (an area opening, Vincent 1993), which leaves lines, edges and corners as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .colour import Lab, distance, to_lab

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
LARGEST = 6e-5  # of the picture's pixels; larger spots are details
SMALLEST = 3  # pixels
STEP = 4.0  # between two levels, CIELAB units
CONTRAST = 10.0  # in one channel, to be looked at
APART = 18.0  # from every colour around it, and from every mixture of two of them
SAME = 14.0  # colours nearer than that are one
MANY = 1000
REACH = 0.12  # of the long side: where a colour of the picture counts as near
COLOURED = 20.0  # CIELAB chroma
# … for a coloured spot on a plain light surface; between dark lines a sliver of what lies behind
# them is seen
CLOSE = 0.025


@dataclass(frozen=True)
class Speck:
    """A spot.

    box: left, top, right, bottom; pixels.
    area: pixels.
    colour, around: CIELAB.
    number: in the label image.
    """

    box: tuple[int, int, int, int]
    area: int
    colour: tuple[float, float, float]
    around: tuple[float, float, float]
    number: int

    @property
    def contrast(self) -> float:
        """Distance of its colour from what is around it."""
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
                _small_extrema(cv2, np.ascontiguousarray(lab[..., index]), largest, brighter),
                out=residual,
            )
    labels: Labels
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (residual >= CONTRAST).astype(np.uint8), connectivity=8
    )
    flat = _flat(cv2, lab) & (labels == 0)
    found = []
    for number in range(1, count):
        left, top, wide, high, area = (int(value) for value in stats[number])
        if SMALLEST <= area <= 2 * largest:
            speck = _judge(
                cv2, lab, labels, residual, flat, (left, top, left + wide, top + high), number
            )
            if speck:
                found.append(speck)
    return found, labels


def _small_extrema(
    cv2: Any, channel: NDArray[np.float32], largest: int, brighter: bool
) -> NDArray[np.float32]:
    """How far each pixel stands out as part of a spot of at most `largest` pixels that is brighter,
    or darker.
    """
    height = np.zeros(channel.shape, dtype=np.float32)
    for level in np.arange(float(channel.min()) + STEP / 2, float(channel.max()), STEP):
        beyond = (channel > level) if brighter else (channel < level)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            beyond.view(np.uint8), connectivity=8
        )
        small = stats[:, cv2.CC_STAT_AREA] <= largest
        small[0] = False
        numbers = np.flatnonzero(small)
        if len(numbers) > MANY:
            height[small[labels]] += STEP
            continue
        for number in numbers:  # a look at few small boxes is faster than one at the whole picture
            left, top, wide, high = stats[number, :4]
            part = np.s_[top : top + high, left : left + wide]
            height[part] += STEP * (labels[part] == number)
    return height


def _flat(cv2: Any, lab: Lab) -> Mask:
    """Pixels whose neighbours have their colour: not those of an edge, which are mixtures."""
    square = np.ones((3, 3), np.uint8)
    spread = cv2.dilate(lab, square) - cv2.erode(lab, square)
    found: Mask = spread.max(axis=2) < 6
    return found


def _judge(
    cv2: Any,
    lab: Lab,
    labels: Labels,
    residual: NDArray[np.float32],
    flat: Mask,
    box: tuple[int, int, int, int],
    number: int,
) -> Speck | None:
    """The spot, if its colour belongs neither to its surroundings nor to what is near."""
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
    # Of the colours of lines and of light there are small marks everywhere: a nose, a button's
    # gleam.
    coloured = float(np.hypot(colour[1], colour[2])) > COLOURED
    plain = coloured and around[0] > 40 and float(np.mean(distance(ring, around) < SAME)) > 0.8
    wide = _window(box, round((CLOSE if plain else REACH) * max(lab.shape[:2])), lab.shape)
    similar = distance(lab[wide][flat[wide]], colour.astype(np.float32)) < SAME
    area = int(own.sum())
    if similar.sum() > max(30, 2 * area):
        return None
    own_colour = (float(colour[0]), float(colour[1]), float(colour[2]))
    ring_colour = (float(around[0]), float(around[1]), float(around[2]))
    return Speck(box, area, own_colour, ring_colour, number)


def _from_mixtures(colour: NDArray[np.float32], ring: NDArray[np.float32]) -> float:
    """Distance of a colour from the line between any two of the ring's colours."""
    palette = list(_palette(ring))
    best = min(float(np.linalg.norm(colour - one)) for one in palette)
    for index, one in enumerate(palette):
        for other in palette[index + 1 :]:
            line = other - one
            share = float(np.clip((colour - one) @ line / max(float(line @ line), 1e-6), 0, 1))
            best = min(best, float(np.linalg.norm(colour - one - share * line)))
    return best


def _palette(colours: NDArray[np.float32], most: int = 6) -> Iterator[NDArray[np.float32]]:
    """The main colours, each at least SAME from the others: the one with most neighbours first."""
    left = colours[:: max(1, len(colours) // 200)]
    while len(left) and most:
        near = distance(left[:, None], left[None]) < SAME / 2
        middle = left[int(near.sum(axis=1).argmax())]
        yield middle
        left = left[distance(left, middle) >= SAME]
        most -= 1


def _window(
    box: tuple[int, int, int, int], margin: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    left, top, right, bottom = box
    rows = slice(max(0, top - margin), min(shape[0], bottom + margin))
    return rows, slice(max(0, left - margin), min(shape[1], right + margin))
