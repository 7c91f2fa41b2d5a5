"""Plain backgrounds put behind the character."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..errors import SettingsError
from .flat_background import FLAT_TOLERANCE, Colour, background_colour

STRIP = 0.03  # of the width: so much of each side tells whether the background goes on in rows
ROWS_THAT_GO_ON = 0.97  # share of the rows that have one colour there
COLOURS = {"white": (255, 255, 255), "grey": (128, 128, 128)}


def parse_colour(text: str) -> Colour:
    """The colour that a setting names: white, grey or #rrggbb.

    Raises: SettingsError.
    """
    if text in COLOURS:
        return COLOURS[text]
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise SettingsError(
            f"prepare.background: found {text!r}, expected white, grey, keep or a colour such as"
            " #8fc0a0"
        )
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def flatten(
    image: Image.Image,
    mask: Image.Image,
    colour: Colour = (255, 255, 255),
    background: Colour | None = None,
) -> Image.Image:
    """The character on a plain colour.

    mask: L, 255 keeps the picture.
    background: the colour that was around the character.  Edge pixels are mixtures with it, so the
        character's part of them is solved for, else a rim of the old colour would stay; without
        it, the character's colours nearby are taken.
    """
    cover = np.asarray(mask)
    flat = np.where(cover[..., None] > 0, np.asarray(image), np.array(colour, np.uint8))
    edge = (cover > 0) & (cover < 255)
    if edge.any():
        # Edges alone: of a large picture they are a hundredth
        share = cover[edge][:, None].astype(np.float32) / 255
        if background is not None:
            pixels = np.asarray(image)[edge].astype(np.float32)
            behind = (1 - share) * np.array(background, np.float32)
            mixed = (pixels - behind) / np.maximum(share, 0.1)
            unmixed = np.clip(mixed, 0, 255).astype(np.float32)
        else:
            unmixed = _figure_colours(image, mask)[edge]
        flat[edge] = np.rint(unmixed * share + np.array(colour, np.float32) * (1 - share))
    return Image.fromarray(flat)


def _figure_colours(image: Image.Image, mask: Image.Image) -> NDArray[np.float32]:
    """The mean of the colours near each pixel that are surely the character's, (H, W, 3).

    A pixel without any nearby keeps its colour.
    """
    radius = max(2, round(max(image.size) / 400))
    sure = mask.point(lambda value: 255 if value >= 250 else 0)
    black = Image.new("RGB", image.size)
    blur = ImageFilter.GaussianBlur(radius)
    weight = np.asarray(sure.filter(blur), dtype=np.float32)[..., None] / 255
    sums = np.asarray(Image.composite(image, black, sure).filter(blur), dtype=np.float32)
    colours: NDArray[np.float32] = np.where(
        weight > 0.02, sums / np.maximum(weight, 0.02), np.asarray(image, dtype=np.float32)
    )
    return np.clip(colours, 0, 255)


def widened(
    image: Image.Image, alpha: Image.Image | None
) -> tuple[Image.Image, Image.Image | None, int] | None:
    """A tall RGB picture made square by more of its background at both sides.

    A background of one colour goes on with it, one of rows (a sky that fades, hills far off) with
    the row's colour at each edge.

    Returns the picture, its alpha, and the column of its old left edge.  None where the picture is
    not tall, or where its background cannot be continued: it has neither, or the character touches
    a side.
    """
    width, height = image.size
    if width >= height:
        return None
    colour = COLOURS["white"] if alpha is not None else background_colour(image)
    if colour is None:
        return _widened_by_rows(image)
    edges = [(x, 0, x + 1, height) for x in (0, width - 1)]
    if alpha is not None:
        plain = all(alpha.crop(edge).getextrema()[1] == 0 for edge in edges)
    else:
        plain = all(
            (
                np.abs(np.asarray(image.crop(edge), dtype=np.int16) - colour) <= 2 * FLAT_TOLERANCE
            ).all()
            for edge in edges
        )
    if not plain:
        return None
    left = (height - width) // 2
    wider = Image.new("RGB", (height, height), colour)
    wider.paste(image, (left, 0))
    if alpha is None:
        return wider, None, left
    wider_alpha = Image.new("L", (height, height), 0)
    wider_alpha.paste(alpha, (left, 0))
    return wider, wider_alpha, left


def _widened_by_rows(image: Image.Image) -> tuple[Image.Image, None, int] | None:
    """The picture made square by its edges' colours, row by row; None where they do not go on."""
    width, height = image.size
    pixels = np.asarray(image)
    strip = max(2, round(STRIP * width))
    edges = []
    for columns in (pixels[:, :strip], pixels[:, -strip:]):
        colours = np.median(columns, axis=1)
        away = np.abs(columns - colours[:, None]).max(axis=(1, 2))
        if (away <= 2 * FLAT_TOLERANCE).mean() < ROWS_THAT_GO_ON:
            return None
        edges.append(np.rint(colours).astype(np.uint8)[:, None])
    left = (height - width) // 2
    right = height - width - left
    wider = np.concatenate(
        (edges[0].repeat(left, axis=1), pixels, edges[1].repeat(right, axis=1)), axis=1
    )
    return Image.fromarray(wider), None, left
