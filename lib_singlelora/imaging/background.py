"""Telling the character from the background."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

logger = logging.getLogger(__name__)

FLAT_TOLERANCE = 16  # Largest difference in any channel that still is the background's colour; JPEG noise is below.
FLAT_SHARE = 0.6  # Share of the picture's border that must have that colour.
WORKING_SIDE = 2048
GRABCUT_SIDE = 512
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Foreground:
    """mask: L, as large as the picture, 255 is the character.  method: how it was found.

    reliable: good enough to replace the background by it; otherwise it only tells where the character is.
    """

    mask: Image.Image
    method: str
    reliable: bool


def foreground_mask(image: Image.Image, alpha: Image.Image | None = None) -> Foreground:
    """Where the character is: from the file's transparency, else a flat background, else GrabCut, else a plain box.

    image: RGB.  alpha: L of the same size, or None.
    """
    if alpha is not None:
        return Foreground(alpha, "transparency of the file", True)
    flat = _flat_background(image)
    if flat is not None:
        return Foreground(flat, "flat background", True)
    cut = _grabcut(image)
    if cut is not None:
        return Foreground(cut, "GrabCut (approximate; the background is kept)", False)
    return Foreground(_box(image.size), "a plain box, because the background is not flat", False)


def flatten(image: Image.Image, mask: Image.Image, colour: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """The character on a plain colour.  mask: L, 255 keeps the picture."""
    return Image.composite(image, Image.new("RGB", image.size, colour), mask)


def _flat_background(image: Image.Image) -> Image.Image | None:
    """Mask by flood from the border with antialiased edges, or None when the border has no one colour."""
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BOX) if scale < 1 else image
    pixels = np.asarray(small, dtype=np.int16)
    border = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3),
                             pixels[:, :2].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3)])
    colour = np.median(border, axis=0).astype(np.int16)
    if (np.abs(border - colour).max(axis=1) <= FLAT_TOLERANCE).mean() < FLAT_SHARE:
        return None
    distance = np.abs(pixels - colour).max(axis=2)
    background = flood_from_border(distance <= FLAT_TOLERANCE)
    if not 0.005 <= 1 - background.mean() <= 0.98:
        return None
    hard = Image.fromarray(np.where(background, 0, 255).astype(np.uint8))
    inner = np.asarray(hard.filter(ImageFilter.MinFilter(5))) == 255
    # Pixels near the edge are mixed with the background: the nearer to its colour, the more transparent.
    mixed = np.clip((distance.astype(np.float32) - FLAT_TOLERANCE / 2) / (4 * FLAT_TOLERANCE), 0, 1) * 255
    soft = np.where(inner, 255, np.where(background, 0, mixed)).astype(np.uint8)
    mask = Image.fromarray(soft)
    return mask if mask.size == image.size else mask.resize(image.size, Image.Resampling.BICUBIC)


def flood_from_border(passable: Mask) -> Mask:
    """The passable pixels that hang together with the border by their sides.

    Whole runs are filled at once, by rows and columns in turn, until nothing changes.
    """
    reached = np.zeros_like(passable)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        reached[edge] = passable[edge]
    runs = [_run_numbers(passable), _run_numbers(passable.T)]
    found = -1
    while (now := int(reached.sum())) != found:
        found = now
        reached = _fill_runs(passable, reached, runs[0])
        reached = _fill_runs(passable.T, reached.T, runs[1]).T
    return reached


def _run_numbers(passable: Mask) -> NDArray[np.int64]:
    """A number for each horizontal run of passable pixels, the same within the run."""
    blocked: Mask = np.logical_not(passable)
    blocked[:, 0] = True  # A run never goes on from one row to the next.
    return np.cumsum(blocked, dtype=np.int64).reshape(passable.shape)


def _fill_runs(passable: Mask, reached: Mask, runs: NDArray[np.int64]) -> Mask:
    touched = np.zeros(int(runs[-1, -1]) + 1, dtype=bool)
    touched[runs[reached]] = True
    filled: Mask = passable & touched[runs]
    return filled


def _grabcut(image: Image.Image) -> Image.Image | None:
    """Mask by OpenCV's GrabCut, started from a face where one is found; None without OpenCV or without a result."""
    try:
        import cv2
    except ImportError:
        return None
    scale = min(1.0, GRABCUT_SIDE / max(image.size))
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    pixels: Any = np.ascontiguousarray(np.asarray(image.resize(size, Image.Resampling.BOX))[..., ::-1])
    labels = _first_guess(cv2, pixels)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(pixels, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:  # A picture of one colour has nothing to cut.
        logger.info("GrabCut failed: %s", error)
        return None
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    body = ~flood_from_border(np.pad(parts != largest, ((1, 0), (1, 1)), constant_values=True))[1:, 1:-1]
    if not 0.03 <= body.mean() <= 0.95:
        return None
    return Image.fromarray(np.where(body, 255, 0).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)


def _first_guess(cv2: Any, pixels: Any) -> NDArray[np.uint8]:
    """GrabCut's labels to start from: head and body below the largest face, else all but a margin.

    The lower edge is left open in both, because it may cut the character.
    """
    height, width = pixels.shape[:2]
    face = _largest_face(cv2, pixels)
    side, top = max(1, round(width * 0.06)), max(1, round(height * 0.03))
    if face is None:
        labels = np.full((height, width), cv2.GC_PR_FGD, np.uint8)
        labels[:top] = labels[:, :side] = labels[:, -side:] = cv2.GC_BGD
        return labels
    x, y, w, h = face
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)

    def paint(left: float, upper: float, right: float, lower: float, label: int) -> None:
        labels[max(0, round(y + upper * h)) : max(0, round(y + lower * h)),
               max(0, round(x + left * w)) : max(0, round(x + right * w))] = label

    paint(-1.6, 0.9, 2.6, 99, cv2.GC_PR_BGD)
    paint(-0.6, -0.7, 1.6, 1.2, cv2.GC_PR_BGD)
    paint(-0.9, 1.5, 1.9, 99, cv2.GC_PR_FGD)
    paint(-0.25, -0.4, 1.25, 1.5, cv2.GC_PR_FGD)
    paint(0.1, 0.05, 0.9, 1.0, cv2.GC_FGD)
    paint(0.3, 1.0, 0.7, 3.0, cv2.GC_FGD)
    return labels


def _largest_face(cv2: Any, pixels: Any) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) by the frontal-face cascade that comes with OpenCV (not with version 5)."""
    if not hasattr(cv2, "CascadeClassifier"):
        return None
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    smallest = max(20, min(pixels.shape[:2]) // 12)
    found = cascade.detectMultiScale(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), 1.1, 8, minSize=(smallest, smallest))
    if not len(found):
        return None
    x, y, w, h = (int(value) for value in max(found, key=lambda face: int(face[2])))
    return x, y, w, h


def _box(size: tuple[int, int]) -> Image.Image:
    """A box in the middle, down to the lower edge."""
    width, height = size
    mask = Image.new("L", size, 0)
    mask.paste(255, (round(width * 0.1), round(height * 0.05), round(width * 0.9), height))
    return mask
