"""The figure by OpenCV's GrabCut, started from a face where one is found."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import MissingPackageError
from .boxes import CornerAndSize
from .face_by_colour import find_face
from .flat_background import flood_from_border
from .mask_refinement import refine
from .segments import noise_of, to_lab

log = logging.getLogger(__name__)

WORKING_SIDE = 512
_kept = threading.local()  # a cascade has buffers of its own
PHOTOGRAPHED = 0.8  # ΔE between neighbours from which on a picture may be a photograph


def is_photographed_face(image: Image.Image) -> bool:
    """True for a photograph of a face: no flat surfaces, and OpenCV's cascade finds a face."""
    try:
        import cv2
    except ImportError:
        return False
    small = image.convert("RGB")
    small.thumbnail((WORKING_SIDE, WORKING_SIDE))
    pixels = np.asarray(small)
    if noise_of(to_lab(pixels)) < PHOTOGRAPHED:
        return False
    return _largest_face(cv2, np.ascontiguousarray(pixels[..., ::-1])) is not None


def grabcut(image: Image.Image, required: bool = False) -> Image.Image | None:
    """The figure's mask (L), 255 is the figure; None without a result.

    required: raise without OpenCV, instead of giving None.
    Raises: MissingPackageError.
    """
    try:
        import cv2
    except ImportError:
        if required:
            raise MissingPackageError(
                "GrabCut needs OpenCV, which is missing; install it with python -m pip install "
                "'opencv-python-headless<5', or choose another prepare.mask"
            ) from None
        return None
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    pixels: Any = np.ascontiguousarray(
        np.asarray(image.resize(size, Image.Resampling.BOX))[..., ::-1]
    )
    labels = _first_guess(cv2, pixels)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            pixels, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error as error:  # a picture of one colour has nothing to cut
        log.info("GrabCut failed: %s", error)
        return None
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    # A margin joins the sides and the top, not the lower edge, which may cut the figure.
    outside = np.pad(parts != largest, ((1, 0), (1, 1)), constant_values=True)
    body = ~flood_from_border(outside)[1:, 1:-1]
    if not 0.03 <= body.mean() <= 0.95:
        return None
    coarse = Image.fromarray(np.where(body, 255, 0).astype(np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    return refine(coarse, image, 1 / scale)


def _first_guess(cv2: Any, pixels: Any) -> NDArray[np.uint8]:
    """GrabCut's initial labels: head and body below the largest face, else all but a margin.

    The lower edge is left open in both, because it may cut the character.
    """
    height, width = pixels.shape[:2]
    face = _largest_face(cv2, pixels) or _drawn_face(pixels)
    if face is None:
        side = max(1, round(width * 0.06))
        top = max(1, round(height * 0.03))
        labels = np.full((height, width), cv2.GC_PR_FGD, np.uint8)
        labels[:top] = labels[:, :side] = labels[:, -side:] = cv2.GC_BGD
        return labels
    x, y, w, h = face
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)

    def paint(left: float, upper: float, right: float, lower: float, label: int) -> None:
        """Label a box; its sides are in widths and heights of the face, from its upper left."""
        labels[
            max(0, round(y + upper * h)) : max(0, round(y + lower * h)),
            max(0, round(x + left * w)) : max(0, round(x + right * w)),
        ] = label

    paint(-1.6, 0.9, 2.6, 99, cv2.GC_PR_BGD)
    paint(-0.6, -0.7, 1.6, 1.2, cv2.GC_PR_BGD)
    paint(-0.9, 1.5, 1.9, 99, cv2.GC_PR_FGD)
    paint(-0.25, -0.4, 1.25, 1.5, cv2.GC_PR_FGD)
    paint(0.1, 0.05, 0.9, 1.0, cv2.GC_FGD)
    paint(0.3, 1.0, 0.7, 3.0, cv2.GC_FGD)
    return labels


def _drawn_face(pixels: Any) -> CornerAndSize | None:
    """The face by the skin's colours, about as high as it is wide."""
    image = Image.fromarray(pixels[..., ::-1])
    face = find_face(image, Image.new("L", image.size, 255))
    if face is None:
        return None
    left, top, right, chin = face
    high = max(chin - top, round(0.95 * (right - left)))
    return left, chin - high, right - left, high


def _frontal_faces(cv2: Any) -> Any:
    """The cascade, read once a thread: that takes longer than a small picture's faces."""
    if not hasattr(_kept, "cascade"):
        file = cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
        _kept.cascade = cv2.CascadeClassifier(file)
    return _kept.cascade


def _largest_face(cv2: Any, pixels: Any) -> CornerAndSize | None:
    """The largest face by OpenCV's cascade of frontal faces; OpenCV 5 comes without it."""
    if not hasattr(cv2, "CascadeClassifier"):
        return None
    cascade = _frontal_faces(cv2)
    smallest = max(20, min(pixels.shape[:2]) // 12)
    faces = cascade.detectMultiScale(
        cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), 1.1, 8, minSize=(smallest, smallest)
    )
    if not len(faces):
        return None
    x, y, w, h = (int(value) for value in max(faces, key=lambda face: int(face[2])))
    return x, y, w, h
