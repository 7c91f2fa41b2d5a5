"""How like a drawing a picture of its character is, place by place; no tagger and no truth of the
renderer are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..imaging.background import foreground_mask
from ..imaging.colour import distance, to_lab

ROWS = 8
COLUMNS = 3
UNLIKE = 30.0  # ΔE (CIE76) at which two colours count as 1/e alike
LONG_SIDE = 512  # pixels; larger pictures are reduced before the figure is looked for
# Pixels. Large figures are reduced to it, so that outlines blend into the colours beside them as
# they do in the small pictures of the embedded checkpoint.
HEIGHT = 128
REST = 0.005  # of the figure that may lie beyond its box at each side: halos, stray pixels
SMALLEST = 0.01  # of the picture; what is smaller is no figure
LARGEST = 0.97
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fields:
    """A figure on a grid of 8 × 3 fields over its box.

    colours: (8, 3, 3), the median L*a*b* of the figure in each field; NaN where it has none of it.
    shares: (8, 3), 0 to 1, how much of each field the figure covers.
    """

    colours: NDArray[np.float32]
    shares: NDArray[np.float32]


def figure_of(picture: Image.Image) -> Mask | None:
    """The figure, (H, W), as the stage prepare finds it; None where the picture shows none."""
    found = foreground_mask(picture.convert("RGB"), estimate=False)
    if not found.reliable and not found.confidence:  # the plain box of the last resort
        return None
    return _whole(np.asarray(found.mask) > 127)


def fields_of(picture: Image.Image, mask: Image.Image | Mask | None = None) -> Fields | None:
    """The picture's figure on the grid; None without a figure.

    mask: where the figure is, as large as the picture (L, 255 is the figure, or (H, W) bool);
        default: it is looked for.
    Raises: ValueError, for a mask of another size.
    """
    small = picture.convert("RGB")
    scale = min(1.0, LONG_SIDE / max(small.size))
    size = max(1, round(small.width * scale)), max(1, round(small.height * scale))
    small = small.resize(size, Image.Resampling.BOX) if scale < 1 else small
    figure = figure_of(small) if mask is None else _whole(_reduced(mask, picture.size, size))
    if figure is None:
        return None
    small, figure = _figure_alone(small, figure)
    bottom, right = figure.shape
    lab = to_lab(small)
    colours = np.full((ROWS, COLUMNS, 3), np.nan, np.float32)
    shares = np.zeros((ROWS, COLUMNS), np.float32)
    for row in range(ROWS):
        for column in range(COLUMNS):
            place = np.s_[slice(*_part(bottom, row, ROWS)), slice(*_part(right, column, COLUMNS))]
            inside = figure[place]
            if inside.any():
                colours[row, column] = np.median(lab[place][inside], axis=0)
                shares[row, column] = inside.mean()
    return Fields(colours, shares)


def likeness(drawn: Fields | None, wanted: Fields | None) -> float:
    """0 to 1, 1 = the wanted colours at all places; 0 without a figure.

    The mean over the fields of exp(−(ΔE/30)²), weighted by the wanted figure's share of each; a
    field in which nothing is drawn counts 0.
    """
    if drawn is None or wanted is None:
        return 0.0
    alike = np.exp(-((distance(drawn.colours, wanted.colours) / UNLIKE) ** 2))
    alike = np.where(drawn.shares > 0, alike, 0)
    weighted = float((np.nan_to_num(alike) * wanted.shares).sum())
    return weighted / max(float(wanted.shares.sum()), 1e-9)


def placewise(
    picture: Image.Image, reference: Image.Image, reference_mask: Image.Image | Mask | None = None
) -> float:
    """How like the reference's figure the picture's is, 0 to 1, place by place.

    Both figures are laid on a grid of 8 × 3 fields over their boxes, so that neither size nor place
    in the picture counts; both must show as much of the body in the same pose.  Ask for a plain
    background: in small pictures of scenery the figure is often cut out wrongly, which lowers this
    (14 characters by the renderer at 128 pixels, each against its own large drawing: 0.90 to 0.98
    before one colour, 0.26 to 0.97 outdoors; another character 0.63 at most).

    reference_mask: the reference's figure, as `fields_of` takes it; default: it is looked for.
    For many pictures of one reference: `fields_of` the reference once, then `likeness`.
    """
    return likeness(fields_of(picture), fields_of(reference, reference_mask))


def _reduced(mask: Image.Image | Mask, given: tuple[int, int], size: tuple[int, int]) -> Mask:
    """The mask at another size."""
    image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    if image.size != given:
        raise ValueError(
            f"a mask of {image.width}×{image.height} pixels came with a picture of"
            f" {given[0]}×{given[1]}; they must be of one size"
        )
    return np.asarray(image.convert("L").resize(size, Image.Resampling.BOX)) > 127


def _whole(mask: Mask) -> Mask | None:
    """The mask if it is large enough for a figure, and not everything."""
    return mask if SMALLEST < mask.mean() < LARGEST else None


def _span(counts: NDArray[np.int64]) -> tuple[int, int]:
    """First and last (exclusive) row or column of the figure, without its outermost pixels."""
    share = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(share, REST, side="right"))
    return first, max(first + 1, int(np.searchsorted(share, 1 - REST)) + 1)


def _figure_alone(picture: Image.Image, figure: Mask) -> tuple[Image.Image, Mask]:
    """Picture and mask cut to the figure's box, reduced to the height at which colours are read."""
    top, bottom = _span(figure.sum(axis=1))
    left, right = _span(figure.sum(axis=0))
    picture = picture.crop((left, top, right, bottom))
    figure = figure[top:bottom, left:right]
    scale = HEIGHT / picture.height
    if scale >= 1:
        return picture, figure
    size = max(1, round(picture.width * scale)), HEIGHT
    mask = np.asarray(Image.fromarray(figure).convert("L").resize(size, Image.Resampling.BOX))
    return picture.resize(size, Image.Resampling.BOX), mask > 127


def _part(length: int, number: int, count: int) -> tuple[int, int]:
    """Where one of count equal parts begins and ends; at least one pixel."""
    first = min(length * number // count, length - 1)
    return first, max(first + 1, length * (number + 1) // count)
