"""How much a picture shows of a character whose drawing is known, by colours in their places; no
tagger is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_singlelora.imaging.colour import to_lab
from tools.world.scenes.characters import all_characters
from tools.world.scenes.scene import render
from tools.world.scenes.spec import Scene

# Pixels of 128 by which a part may lie elsewhere: figures are shifted a little in every drawing
REACH = 5
SAME = 18.0  # CIELAB distance up to which two colours are one
CHARACTERS = all_characters()


def likeness(
    picture: Image.Image, name: str, framing: str, pose: str = "standing", view: str = "front"
) -> float:
    """0 to 1: how much a picture has of a character's drawing on white."""
    return likeness_to(picture, Scene((CHARACTERS[name],), pose, view, framing, seed=1))


def likeness_to(picture: Image.Image, scene: Scene) -> float:
    """0 to 1: share of the drawing's colours that the picture has at their places, and of the
    picture's colours there that are the drawing's.

    The better of the scene and its mirror image.
    """
    found = []
    for mirrored in (False, True):
        drawing = render(replace(scene, mirrored=mirrored), 128)
        wanted = to_lab(Image.fromarray(drawing.pixels))
        drawn = to_lab(picture.convert("RGB").resize((128, 128), Image.Resampling.BOX))
        found.append((_held(wanted, drawn, drawing.mask) + _held(drawn, wanted, drawing.mask)) / 2)
    return max(found)


def _held(
    wanted: NDArray[np.float32], there: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    """Share of the wanted pixels inside the mask that have a like one near their place."""
    padded = np.pad(there, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    best = np.full(wanted.shape[:2], np.inf, np.float32)
    for down in range(2 * REACH + 1):
        for right in range(2 * REACH + 1):
            near = padded[down : down + wanted.shape[0], right : right + wanted.shape[1]]
            best = np.minimum(best, ((wanted - near) ** 2).sum(axis=-1))
    return float((best[mask] < SAME**2).mean())


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation, ties at their mean rank; 0 where one of them does not vary.

    Source: Spearman 1904, "The Proof and Measurement of Association between Two Things".
    """
    a = _ranks(one)
    b = _ranks(other)
    a = a - a.mean()
    b = b - b.mean()
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / norm if norm else 0.0


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    given = np.asarray(values, dtype=np.float64)
    return np.array([(given < value).sum() + ((given == value).sum() - 1) / 2 for value in given])
