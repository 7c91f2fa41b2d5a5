"""Masks from files of any kind: what the brush painted.

The first rule that fits:

1. A layer with transparency: the opaque part is painted, whatever the brush's colour.  Where that
   is both white and black, white is painted and black is not.
2. A coloured brush on white, grey or black paper: the coloured part is painted.
3. Else white is painted, black is not, and grey is painted by its share.  Just two values, such as
   0 and 1, count as black and white.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import PictureError
from .load import decoded_picture, to_rgb

DARK = 64  # below it paint is black
BRIGHT = 191  # above it paint is white
FEW = 0.01  # share of the painted part above which a colour is no accident of soft edges
CHROMA = 64  # difference between the highest and the lowest channel above which paint has a colour
EXPECTED = "expected white where the mask is and black or transparency elsewhere"
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
Channel = NDArray[np.uint8]


@dataclass(frozen=True)
class Mask:
    """A mask as the rest of the program wants it.

    image: L, 255 is painted.
    notes: how it was read, where that may not be what was meant.
    """

    image: Image.Image
    notes: tuple[str, ...] = field(default=())


def read_mask(path: Path) -> Mask:
    """The mask in a file, by the module's rules.

    Raises: PictureError, for a file that is no picture, or a picture that is no mask.
    """
    return _read(path, path.name)


def read_mask_bytes(data: bytes, name: str = "mask") -> Mask:
    """The mask in a file's bytes.

    name: of the file, for errors.
    Raises: PictureError.
    """
    return _read(data, name)


def painted(image: Image.Image, name: str = "mask") -> Mask:
    """The mask in a decoded picture, such as a drawing on the page.

    name: of the picture, for errors.
    Raises: PictureError.
    """
    if image.mode == "L":
        return Mask(*_stretched(np.asarray(image), name))
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        layer = np.asarray(image.convert("RGBA"))
        if layer[..., 3].min() < 255:
            return _of_layer(layer[..., :3], layer[..., 3], name)
    rgb = to_rgb(image, [])[0]
    pixels = np.asarray(rgb)
    high = pixels.max(axis=2)
    low = pixels.min(axis=2)
    chroma = (high - low).astype(np.uint8)
    if (chroma > CHROMA).mean() > 0.0005:
        return _of_coloured(pixels, chroma, name)
    return Mask(*_stretched(np.asarray(rgb.convert("L")), name))


def _read(source: Path | bytes, name: str) -> Mask:
    notes: list[str] = []
    mask = painted(decoded_picture(source, name, 1, notes), name)
    return Mask(mask.image, (*notes, *mask.notes))


def _of_layer(pixels: Channel, alpha: Channel, name: str) -> Mask:
    """The mask on a layer with transparency."""
    top = int(alpha.max())
    if not top:
        return Mask(Image.fromarray(alpha), (f"{name}: nothing is painted on it",))
    shown = alpha >= 0.9 * top
    colours = pixels[shown].astype(np.float32)
    bright = colours.min(axis=1) > BRIGHT
    dark = colours.max(axis=1) < DARK
    full = np.rint(alpha.astype(np.float32) * (255 / top)).astype(np.uint8)
    if bright.mean() > FEW and dark.mean() > FEW and (bright | dark).mean() > 0.9:
        white = pixels.min(axis=2).astype(np.float32) / 255
        values = np.where(alpha > 0, np.rint(full * white), 0).astype(np.uint8)
        note = (
            f"{name}: white and black are painted on transparency; white counts as painted, black"
            " and transparency do not"
        )
        return Mask(Image.fromarray(values), (note,))
    notes = _many_colours(colours, name) + _looks_inverted(full, name)
    return Mask(Image.fromarray(full), tuple(notes))


def _many_colours(colours: NDArray[np.float32], name: str) -> list[str]:
    """A note, if the layer looks like a picture with a part erased."""
    spread = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    if (spread > CHROMA).mean() < 0.1:
        return []
    return [
        f"{name}: it looks like a picture with a part erased; what is left of it counts as "
        "painted. If the erased part was meant, paint that white on black"
    ]


def _of_coloured(pixels: Channel, chroma: Channel, name: str) -> Mask:
    """The mask by a coloured brush on paper of one grey.

    Raises: PictureError, for paper of several greys.
    """
    paper = chroma <= CHROMA
    grey = pixels[paper].max(axis=1)
    if not len(grey) or (np.abs(grey.astype(np.int16) - int(np.median(grey))) > 40).mean() > 0.02:
        raise PictureError(
            f"{name}: found a colour picture, {EXPECTED}; paint the mask on a layer of its own"
        )
    full = float(np.percentile(chroma[~paper], 50))
    values = np.clip(np.rint(chroma * (255 / full)), 0, 255).astype(np.uint8)
    return Mask(Image.fromarray(values), (f"{name}: what is coloured counts as painted",))


def _stretched(values: Channel, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """A grey mask and its notes; a mask of just two values is stretched to black and white."""
    low = int(values.min())
    high = int(values.max())
    if 0 < high < 255 and low < high and bool(((values == low) | (values == high)).all()):
        stretched = np.where(values == high, 255, 0).astype(np.uint8)
        return Image.fromarray(stretched), (
            f"{name}: it holds only the values {low} and {high}, which count as black and white",
        )
    return Image.fromarray(values), tuple(_looks_inverted(values, name))


def _looks_inverted(values: Channel, name: str) -> list[str]:
    """A note, if the mask may be inverted: white along the whole border, black in the middle."""
    solid = values > 127
    border = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
    if solid.all() or border.mean() < 0.98:
        return []
    return [
        f"{name}: white is painted, and here that is all of the border; if what is black was "
        "meant, invert it"
    ]
