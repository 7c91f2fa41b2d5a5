"""Colours in CIELAB, and their names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Lab = NDArray[np.float32]
# D65 white; the matrix is that of sRGB.  Source: IEC 61966-2-1 and CIE 15, CIELAB.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_STRIPE = 512  # rows at once: memory stays bounded


def to_lab(image: Image.Image) -> Lab:
    """The picture in CIELAB, (H, W, 3): L* 0 to 100, a* and b* about -100 to 100.

    A distance of 2 is just visible, one of 20 is another colour.
    """
    pixels = np.asarray(image.convert("RGB"))
    lab = np.empty(pixels.shape, dtype=np.float32)
    values = np.arange(256) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )
    matrix = (_TO_XYZ / _WHITE[:, None]).T.astype(np.float32)
    for top in range(0, len(pixels), _STRIPE):
        xyz = linear[pixels[top : top + _STRIPE]] @ matrix
        root = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29)
        lab[top : top + _STRIPE, :, 0] = 116 * root[..., 1] - 16
        lab[top : top + _STRIPE, :, 1] = 500 * (root[..., 0] - root[..., 1])
        lab[top : top + _STRIPE, :, 2] = 200 * (root[..., 1] - root[..., 2])
    return lab


def distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE76 distance (ΔE) along the last axis."""
    apart: NDArray[np.float32] = np.sqrt(((one - other) ** 2).sum(axis=-1))
    return apart


# Angle of the hue in CIELAB, degrees, from which on a name holds.
_HUES = (
    (0, "pink"),
    (20, "red"),
    (50, "orange"),
    (72, "yellow"),
    (112, "green"),
    (178, "aqua"),
    (230, "blue"),
    (308, "purple"),
    (332, "pink"),
)


def name_of(lab: NDArray[np.float32]) -> str:
    """The plain name of a colour (L*a*b*), as tags use it; beige is that of light skin."""
    lightness, a, b = (float(value) for value in lab)
    chroma = float(np.hypot(a, b))
    if chroma < 12 or lightness < 12:
        return "black" if lightness < 25 else "white" if lightness > 88 else "grey"
    hue = float(np.degrees(np.arctan2(b, a))) % 360
    name = [word for start, word in _HUES if hue >= start][-1]
    if 30 <= hue < 85 and chroma < 32 and lightness > 68:
        return "beige"
    if name in ("orange", "red", "yellow") and lightness < 55 and chroma < 50:
        return "brown"
    return "pink" if name == "red" and lightness > 68 else name
