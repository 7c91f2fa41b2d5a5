"""Traces of enlarging and saving: ringing beside edges, JPEG blocks and their noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
EDGE = 60  # difference of grey values between neighbours that makes an edge
HALO = (3, 38)  # by how many grey values a halo differs from the surface beside it
CELL = 64  # pixels; the picture is judged by cells of this side
RINGS = 0.25  # share of the surface beside a cell's edges that is halo, above which it rings
FEWEST = 24  # pixels beside edges that a cell needs to be judged
BLOCK = 8
BLOCKY = 0.1  # see `blockiness`


@dataclass(frozen=True)
class Debris:
    """Ringing in a picture.

    mask: where it is, (H, W).
    share: of the surface beside edges that rings.
    """

    mask: Mask
    share: float


def find_ringing(cv2: Any, image: Image.Image) -> Debris | None:
    """Halos beside edges, as sharpening and Lanczos make them; None without any.

    A halo is brighter beside a darker side, and darker beside a brighter one.
    """
    grey: Bytes = np.asarray(image.convert("L"))
    reach = halo_reach(image.size)
    surface = cv2.medianBlur(grey, 2 * reach + 1).astype(np.int16)
    beside = _beside_edges(cv2, grey, reach)
    square = np.ones((2 * reach + 1,) * 2, np.uint8)
    over = grey.astype(np.int16) - surface
    beside &= np.abs(over) <= HALO[1]
    darker = surface - cv2.erode(grey, square) > EDGE
    brighter = cv2.dilate(grey, square).astype(np.int16) - surface > EDGE
    halo = beside & (
        ((over >= HALO[0]) & darker & ~brighter) | ((over <= -HALO[0]) & brighter & ~darker)
    )
    against = beside & (
        ((over <= -HALO[0]) & darker & ~brighter) | ((over >= HALO[0]) & brighter & ~darker)
    )
    counted = _by_cells(beside)
    rings = _by_cells(halo) - _by_cells(against)
    places = (counted >= FEWEST) & (rings > RINGS * counted)
    if not places.any():
        return None
    mask = halo & _to_pixels(places, halo.shape)
    share = float(mask.sum() / max(1, beside.sum()))
    return Debris(mask, share) if share > 0.02 else None


def halo_reach(size: tuple[int, int]) -> int:
    """How far from an edge halos lie, pixels."""
    return max(4, round(max(size) / 340))


def _beside_edges(cv2: Any, grey: Bytes, reach: int) -> Mask:
    """The strip along strong edges, without the edges' own mixed pixels."""
    square = np.ones((3, 3), np.uint8)
    edges = (cv2.dilate(grey, square) - cv2.erode(grey, square) > EDGE // 2).astype(np.uint8)
    strip: Mask = (cv2.dilate(edges, np.ones((2 * reach + 1,) * 2, np.uint8)) > 0) & (edges == 0)
    return strip


def _by_cells(mask: Mask) -> NDArray[np.int64]:
    """The number of a mask's pixels in each cell."""
    high, wide = (-(-side // CELL) for side in mask.shape)
    padded = np.zeros((high * CELL, wide * CELL), dtype=bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    counts: NDArray[np.int64] = padded.reshape(high, CELL, wide, CELL).sum(axis=(1, 3))
    return counts


def _to_pixels(cells: Mask, shape: tuple[int, ...]) -> Mask:
    """The pixels of the cells, (H, W)."""
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: shape[0], : shape[1]]


def blockiness(image: Image.Image) -> float:
    """How much better JPEG's own 8-pixel grid explains the calm places than a shifted one, from 0.

    JPEG's noise fills whole blocks and ends with them, so that fewer blocks are disturbed on its
    own grid than on any other.  The grid may start anywhere, because the picture may have been
    cropped.  Measured: clean drawings and photographs up to 0.04, the same as JPEG of quality 95 to
    40 from 0.13 to 0.5.

    image: as it was saved, not enlarged.
    """
    grey = np.asarray(image.convert("L"))
    return min(_grid_gain(grey), _grid_gain(grey.T))


def _grid_gain(grey: Bytes) -> float:
    """The same along rows."""
    if grey.shape[1] < 4 * BLOCK:
        return 0.0
    calm = np.abs(np.diff(grey.astype(np.int16), axis=1)) <= 1
    disturbed = []
    for start in range(BLOCK):
        count = (grey.shape[1] - start) // BLOCK
        inside = np.pad(
            calm[:, start : start + BLOCK * count], ((0, 0), (0, 1)), constant_values=True
        )[:, : BLOCK * count]
        disturbed.append(
            1 - float(inside.reshape(len(grey), count, BLOCK)[..., : BLOCK - 1].all(axis=2).mean())
        )
    best = min(disturbed)
    return float(np.median(disturbed)) / best - 1 if best > 0 else 0.0


def clean_ringing(cv2: Any, image: Image.Image, mask: Mask) -> Image.Image:
    """The picture with the surface's colour where the halos were."""
    pixels = np.asarray(image)
    surface = cv2.medianBlur(pixels, 2 * halo_reach(image.size) + 1)
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    return Image.fromarray(np.rint(pixels * (1 - share) + surface * share).astype(np.uint8))


def clean_blocks(cv2: Any, image: Image.Image, scale: float) -> Image.Image:
    """The picture with surfaces smoothed up to their edges.

    scale: how far it was enlarged since it was saved.
    Source: Tomasi and Manduchi 1998, bilateral filtering.
    """
    radius = min(9, max(2, round(2.5 * scale)))
    pixels = np.asarray(image)
    for _ in range(2):
        pixels = cv2.bilateralFilter(pixels, 2 * radius + 1, 22, radius)
    return Image.fromarray(pixels)
