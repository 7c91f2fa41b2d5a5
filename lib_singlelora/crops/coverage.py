"""Facts about the crops: how large they really are, what of the picture they show, how often to
repeat them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SettingsError
from ..imaging.boxes import PixelBox, box_size
from .buckets import Size, nearest_bucket
from .views import View

EPOCH = 50  # samples of the character that an epoch should show: the article's ten crops five times
LEAST = 5  # times that an epoch should show the least covered tenth of the character, at least
ENLARGED = 1.05  # the factor above which the user is told
# For places in no crop, in one, two, three, and more.
SHADES = ((255, 255, 255), (254, 217, 118), (253, 141, 60), (227, 26, 28), (128, 0, 38))


@dataclass(frozen=True)
class Shown:
    """The size of a crop.

    pixels: of the user's own picture, before it was enlarged.
    bucket: in which it is trained.
    enlarged: factor from those pixels to the bucket, by side; 1 where it is not enlarged.
    soft: True if that is more than the user wants.
    """

    pixels: Size
    bucket: Size
    enlarged: float
    soft: bool = False


def figures(view: View, scale: float, buckets: list[Size], most: float = math.inf) -> Shown:
    """The size of a view.

    scale: of the prepared picture by the user's own, by side.
    most: the factor above which a view is soft.
    """
    width, height = box_size(view.box)
    pixels = max(1, round(width / scale)), max(1, round(height / scale))
    bucket = nearest_bucket((width, height), buckets)
    factor = math.sqrt(bucket[0] * bucket[1] / (pixels[0] * pixels[1]))
    return Shown(pixels, bucket, round(max(1.0, factor), 2), factor > most)


def without_soft(
    views: Sequence[View], shown: Mapping[str, Shown], kept: Collection[str]
) -> tuple[list[View], list[str]]:
    """(the views that are not soft, a note for each that was left out).

    Where all are soft, the one that is enlarged least stays.

    kept: names that stay anyway.
    """
    least = min(views, key=lambda view: shown[view.name].enlarged, default=None)
    sharp = [view for view in views if not shown[view.name].soft or view.name in kept]
    sharp = sharp or ([least] if least else [])
    left = [view for view in views if view not in sharp]
    notes = [
        f"left out: {view.name}, which would be enlarged {shown[view.name].enlarged:g} times, to"
        f" {shown[view.name].bucket[0]}x{shown[view.name].bucket[1]} (crop.soft_views,"
        " crop.most_enlarged)"
        for view in left
    ]
    return sharp, notes


def moved(proposed: Sequence[View], boxes: Sequence[str], size: Size) -> list[View]:
    """The proposals with the user's boxes: a known name is moved, a new one is appended.

    boxes: each `name:left:top:right:bottom`, pixels of the prepared picture.
    Raises: SettingsError.
    """
    views = {view.name: view for view in proposed}
    for text in boxes:
        name, box = _parse(text, size)
        tags = views[name].tags if name in views else (name.replace("_", " "),)
        views[name] = View(name, tags, box, 1.0)
    return list(views.values())


def _parse(text: str, size: Size) -> tuple[str, PixelBox]:
    """(name, box) of one entry of crop.boxes.  Raises: SettingsError."""
    name, *numbers = (piece.strip() for piece in text.split(":"))
    try:
        left, top, right, bottom = (int(number) for number in numbers)
    except ValueError:
        raise SettingsError(
            f"crop.boxes: found {text!r}, expected name:left:top:right:bottom in pixels, such as "
            "hat:90:20:640:400"
        ) from None
    whole = 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    if not name or not all(letter.isalnum() or letter in "-_ " for letter in name) or not whole:
        raise SettingsError(
            f"crop.boxes: found {text!r}, expected a name and a box within the picture's"
            f" {size[0]}x{size[1]}, such as hat:90:20:640:400"
        )
    if min(right - left, bottom - top) < 16:
        raise SettingsError(
            f"crop.boxes: found {text!r}, {right - left}x{bottom - top} pixels, expected at least"
            " 16 by 16"
        )
    return name.replace(" ", "_"), (left, top, right, bottom)


def coverage(size: Size, boxes: Sequence[PixelBox]) -> NDArray[np.int32]:
    """The number of crops that hold each pixel, (H, W)."""
    counts = np.zeros((size[1], size[0]), dtype=np.int32)
    for left, top, right, bottom in boxes:
        counts[top:bottom, left:right] += 1
    return counts


def coverage_picture(image: Image.Image, counts: NDArray[np.int32]) -> Image.Image:
    """The picture in grey under shades for how often each place is shown: white never, then darker.

    counts: of crops, (H, W).
    """
    grey = image.convert("L").convert("RGB")
    shades = np.array(SHADES, dtype=np.uint8)[np.minimum(counts, len(SHADES) - 1)]
    mixed = Image.blend(grey, Image.fromarray(shades), 0.55)
    mixed.thumbnail((768, 768))
    return mixed


def proposed_repeats(counts: NDArray[np.int32], mask: NDArray[np.bool_], crops: int) -> int:
    """Repeats for about EPOCH samples an epoch.

    There are more where the least covered tenth of the character would be shown fewer than LEAST
    times.
    """
    rare = float(np.percentile(_on_figure(counts, mask), 10)) or 1.0
    return int(np.clip(max(round(EPOCH / max(1, crops)), math.ceil(LEAST / rare)), 1, 100))


def _on_figure(counts: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The counts of the character's pixels; of all where the mask is empty."""
    return counts[mask] if mask.any() else counts.ravel()


def sentences(
    shown: Mapping[str, Shown],
    counts: NDArray[np.int32],
    mask: NDArray[np.bool_],
    repeats: int,
    proposed: int,
) -> list[str]:
    """Notes on the crops, one a line."""
    notes = [
        f"{name}: {crop.pixels[0]}x{crop.pixels[1]} pixels of the picture are enlarged"
        f" {crop.enlarged:g} times, to {crop.bucket[0]}x{crop.bucket[1]}"
        + (": a soft close-up (crop.most_enlarged)" if crop.soft else "")
        for name, crop in shown.items()
        if crop.enlarged > ENLARGED
    ]
    missing = float((_on_figure(counts, mask) == 0).mean())
    if missing > 0.01:
        notes.append(
            f"{missing:.0%} of the character is in no crop; source/coverage.png shows where,"
            " crop.boxes adds a crop there"
        )
    if proposed != repeats:
        notes.append(
            f"training.repeats is {repeats}; {proposed} would show {proposed * len(shown)} samples"
            " of the character per epoch"
        )
    return notes
