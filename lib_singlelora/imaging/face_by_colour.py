"""The face by the colours of skin within the outline.

The outline alone does not show it under a hat or long hair.  A face is the patch of skin that has
holes: eyes, brows and mouth.  Hands, arms, legs and furniture have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .boxes import PixelBox, box_size, mask_box, scale_box
from .components import label_regions

WORKING_SIDE = 256  # long side, pixels
LEAST_AREA = 20  # pixels of the reduced picture; fewer tell nothing
LOWEST = 0.72  # of the figure's height; no face's middle is further down
HOLES = 0.03  # the least share of a face that is eyes, brows and mouth
# Width by height below which a face is a profile, of which no neck is cut off.
PROFILE = 0.7
NECK_LENGTH = 0.16  # of the face's width
NECK = 0.5  # of the face's greatest width; a narrower row below that is the neck


def skin(image: Image.Image) -> NDArray[np.bool_]:
    """Pixels of a light skin's hue (5° to 36°), pale enough not to be hair or wood; (H, W)."""
    hue, saturation, value = (
        np.asarray(band, dtype=np.float32) / 255
        for band in image.convert("RGB").convert("HSV").split()
    )
    return (
        (hue > 5 / 360)
        & (hue < 36 / 360)
        & (saturation > 0.08)
        & (saturation < 0.58)
        & (value > 0.62)
    )


@dataclass(frozen=True)
class Patch:
    """A connected patch of skin.

    box: in the reduced picture.
    holes: share of what lies within the patch and is no skin, such as eyes.
    rest: height of its middle, from the figure's top (0) to its lower edge (1).
    size: its width by the figure's longer side.
    """

    box: PixelBox
    holes: float
    rest: float
    size: float

    @property
    def score(self) -> float:
        """The higher, the likelier a face; 0 for what cannot be one."""
        wide, high = box_size(self.box)
        if (
            self.holes < HOLES
            or self.rest > LOWEST
            or self.size < 0.05
            or not 0.35 <= wide / high <= 2.6
        ):
            return 0.0
        return float(np.sqrt(wide * high)) * min(self.holes, 0.25) * max(0.1, 1 - self.rest)


def find_face(image: Image.Image, mask: Image.Image) -> PixelBox | None:
    """The box of the face's skin; None where nothing looks like a face."""
    scale = max(image.size) / WORKING_SIDE
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    solid = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127
    skin_pixels = skin(image.resize(size, Image.Resampling.BOX)) & solid
    if (
        not skin_pixels.any() or skin_pixels.sum() > 0.7 * solid.sum()
    ):  # all skin: nothing stands out
        return None
    # A face may be parted by an outline or a strap, so the skin is tried grown by a pixel too.
    for pieces in (skin_pixels, _thicker(skin_pixels) & solid):
        best = max(
            _patches(skin_pixels, pieces, solid), key=lambda patch: patch.score, default=None
        )
        if best is not None and best.score:
            return scale_box(best.box, scale)
    return None


def _patches(
    skin_pixels: NDArray[np.bool_], pieces: NDArray[np.bool_], solid: NDArray[np.bool_]
) -> list[Patch]:
    """The skin in each of the connected pieces.

    skin_pixels: (h, w).
    pieces: the skin, or more of the figure, whose connected parts are taken.
    solid: the figure.
    """
    figure = mask_box(solid)
    crown = figure[1]
    width, height = box_size(figure)
    labels, count = label_regions(pieces)
    labels = np.where(skin_pixels, labels, 0)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    patches = []
    for number in range(1, count + 1):
        patch = labels == number
        # A wall or the sky goes from side to side.
        if areas[number] < LEAST_AREA or (patch[:, 0].any() and patch[:, -1].any()):
            continue
        left, top, right, bottom = mask_box(patch)
        bottom = top + above_neck(patch[top:bottom, left:right])
        part = patch[top:bottom, left:right]
        # Only what skin follows below is a hole: bangs may hang into the eyes from above.
        between = _spans(part) & np.maximum.accumulate(part[::-1], axis=0)[::-1]
        holes = 1 - float(part.sum()) / max(1, int(between.sum()))
        patches.append(
            Patch(
                (left, top, right, bottom),
                holes,
                float(((top + bottom) / 2 - crown) / height),
                float((right - left) / max(height, width)),
            )
        )
    return patches


def _thicker(skin_pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skin grown by a pixel to the four sides."""
    grown: NDArray[np.bool_] = skin_pixels.copy()
    grown[1:] |= skin_pixels[:-1]
    grown[:-1] |= skin_pixels[1:]
    grown[:, 1:] |= skin_pixels[:, :-1]
    grown[:, :-1] |= skin_pixels[:, 1:]
    return grown


def above_neck(part: NDArray[np.bool_]) -> int:
    """The number of rows that belong to the face, above the narrow neck."""
    spans = _spans(part).sum(axis=1)
    widest = int(np.argmax(spans))
    broad = int(spans[widest])
    least = max(2, round(NECK_LENGTH * spans[widest]))
    narrow = spans[widest:] < NECK * broad
    # Blushing cheeks make a face narrow too, but only for a few rows.
    long = (
        np.convolve(narrow, np.ones(least), mode="valid") >= least - 0.5
        if len(narrow) >= least
        else np.zeros(0, dtype=bool)
    )
    if not long.any() or broad < PROFILE * len(spans):
        return len(spans)
    start = widest + int(np.argmax(long))
    # A chin is narrow as well: the neck begins a little further down, where the patch goes on.
    if len(spans) - start < 0.25 * broad:
        return len(spans)
    return min(len(spans), start + round(0.07 * broad))


def _spans(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each row filled from its first to its last pixel."""
    after: NDArray[np.bool_] = np.maximum.accumulate(part, axis=1)
    before: NDArray[np.bool_] = np.maximum.accumulate(part[:, ::-1], axis=1)[:, ::-1]
    return after & before
