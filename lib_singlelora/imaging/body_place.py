"""Where a body is likely to be in a picture, seen from the face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .boxes import PixelBox
from .segments import Labels

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
# Rows below the chin, in widths of the face, and at each of them the half width of a body's middle
# and of its usual outer limit.
_ROWS = [-3.0, -2.4, -1.7, -0.3, 0.2, 1.0, 4.0, 7.0, 12.0]
_INNER = [0.0, 0.3, 0.7, 0.8, 0.6, 0.7, 0.7, 0.6, 0.5]
_OUTER = [0.5, 0.9, 1.2, 1.3, 1.2, 1.3, 1.4, 1.3, 1.1]


def face_width(face: PixelBox) -> float:
    """A face's width, pixels; a profile is narrow, so that its height tells more."""
    left, top, right, chin = face
    return max(right - left, 0.8 * (chin - top), 4.0)


def is_profile(face: PixelBox) -> bool:
    """True if a face is seen from the side: it is narrow."""
    left, top, right, chin = face
    return right - left < 0.75 * (chin - top)


def place_by_face(shape: tuple[int, ...], face: PixelBox, width: float, away: float) -> Values:
    """How likely a body covers each pixel, (H, W), given the face.

    It is 1 in the body's middle, 0 at its usual limits, negative further away.  Of a profile much
    of the head lies beside the face, so everything is half as wide again.

    width: factor of the body's outer limits.
    away: factor of negative values.
    """
    left, _, right, chin = face
    unit = face_width(face)
    across = np.abs(np.arange(shape[1]) - (left + right) / 2)[None] / unit
    down = (np.arange(shape[0]) - chin)[:, None] / unit
    if is_profile(face):
        across = across / 1.5
        down = down / 1.5
    inner = np.interp(down, _ROWS, _INNER)
    outer = np.interp(down, _ROWS, _OUTER) * width
    place = np.clip(1 - (across - inner) / np.maximum(outer - inner, 0.2), -1.5, 1.0)
    weighted: Values = np.where(place < 0, place * away, place)
    return weighted


def place_by_middle(shape: tuple[int, ...]) -> Values:
    """The same without a face: most likely in the middle."""
    across = np.abs(np.linspace(-1, 1, shape[1]))[None]
    down = np.linspace(0, 1, shape[0])[:, None]
    upper = np.clip((0.04 - down) / 0.04, 0, 1)
    place: Values = np.clip(0.7 - 1.6 * across, -1.5, 0.6) - upper
    return place


def face_regions(labels: Labels, face: PixelBox) -> Mask:
    """The regions that lie mostly within the face, (n,)."""
    count = int(labels.max()) + 1
    left, top, right, bottom = face
    inside = np.bincount(labels[top:bottom, left:right].ravel(), minlength=count)
    return inside > 0.6 * np.bincount(labels.ravel(), minlength=count)


def chest_shares(labels: Labels, face: PixelBox) -> Values:
    """The share of the place below the chin, neck and chest, that each region takes, (n,)."""
    count = int(labels.max()) + 1
    height, image_width = labels.shape
    face_left, _, face_right, chin = face
    width = face_right - face_left
    middle = (face_left + face_right) // 2
    left = max(0, round(middle - 0.35 * width))
    right = min(image_width, round(middle + 0.35 * width) + 1)
    top = min(height - 1, round(chin + 0.15 * width))
    bottom = min(height, round(chin + 1.1 * width))
    strip = labels[top : max(bottom, top + 1), left : max(right, left + 1)].ravel()
    return np.bincount(strip, minlength=count) / max(1, strip.size)


def rim_shares(labels: Labels, face: PixelBox) -> Values:
    """The share of a rim around the face that each region takes, (n,): hair, hat or hood.

    The rim goes down almost to the chin.
    """
    count = int(labels.max()) + 1
    left, top, right, chin = face
    margin = max(2, round(0.15 * (right - left)))
    around = np.s_[
        max(0, top - margin) : round(top + 0.7 * (chin - top)),
        max(0, left - margin) : right + margin,
    ]
    inner = np.zeros(labels.shape, dtype=bool)
    inner[top:chin, left:right] = True
    rim = labels[around][~inner[around]]
    return np.bincount(rim, minlength=count) / max(1, rim.size)
