"""What a person should know of the crops: how large they really are, what of the picture they show,
how often to show them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SettingsError
from ..imaging.boxes import PixelBox
from .buckets import Size, nearest_bucket
from .views import View

EPOCH = 50  # samples that an epoch should show of her: the article's ten crops five times
LEAST = 5  # how often an epoch should show the least seen tenth of her, at least
ENLARGED = 1.05  # from this factor on it is said
# None, once, twice, three times, more
SHADES = ((255, 255, 255), (254, 217, 118), (253, 141, 60), (227, 26, 28), (128, 0, 38))


@dataclass(frozen=True)
class Shown:
    """A crop in figures.  pixels: of the picture as the user gave it.  bucket: in which it is
    trained.

    enlarged: how much larger than those pixels it is shown, by side; 1 where it is not.
    """

    pixels: Size
    bucket: Size
    enlarged: float


def figures(view: View, scale: float, buckets: list[Size]) -> Shown:
    """scale: of the prepared picture by the given one, by side."""
    wide, high = view.box[2] - view.box[0], view.box[3] - view.box[1]
    pixels = max(1, round(wide / scale)), max(1, round(high / scale))
    bucket = nearest_bucket((wide, high), buckets)
    return Shown(
        pixels,
        bucket,
        round(max(1.0, math.sqrt(bucket[0] * bucket[1] / (pixels[0] * pixels[1]))), 2),
    )


def moved(proposed: Sequence[View], boxes: Sequence[str], size: Size) -> list[View]:
    """The proposals with those that a person moved in their new places, and the person's own after
    them.

    boxes: each `name:left:top:right:bottom`, pixels of the prepared picture.
    Raises: SettingsError.
    """
    known = {view.name: view for view in proposed}
    for text in boxes:
        name, box = _parse(text, size)
        own = known.get(name)
        known[name] = View(name, own.tags if own else (name.replace("_", " "),), box, 1.0)
    return list(known.values())


def _parse(text: str, size: Size) -> tuple[str, PixelBox]:
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
    """In how many crops each pixel is, (H, W)."""
    counts = np.zeros((size[1], size[0]), dtype=np.int32)
    for left, top, right, bottom in boxes:
        counts[top:bottom, left:right] += 1
    return counts


def coverage_picture(image: Image.Image, counts: NDArray[np.int32]) -> Image.Image:
    """The picture in grey under shades that tell how often each place is shown: white never, the
    darker the oftener.
    """
    grey = image.convert("L").convert("RGB")
    shades = np.array(SHADES, dtype=np.uint8)[np.minimum(counts, len(SHADES) - 1)]
    mixed = Image.blend(grey, Image.fromarray(shades), 0.55)
    mixed.thumbnail((768, 768))
    return mixed


def proposed_repeats(counts: NDArray[np.int32], mask: NDArray[np.bool_], crops: int) -> int:
    """Repeats that show about EPOCH samples an epoch, and the least seen tenth of her at least
    LEAST times.
    """
    seen = counts[mask] if mask.any() else counts.ravel()
    rare = float(np.percentile(seen, 10)) or 1.0
    return int(np.clip(max(round(EPOCH / max(1, crops)), math.ceil(LEAST / rare)), 1, 100))


def sentences(
    shown: Mapping[str, Shown],
    counts: NDArray[np.int32],
    mask: NDArray[np.bool_],
    repeats: int,
    proposed: int,
) -> list[str]:
    """Notes on the crops, one a line."""
    found = [
        f"{name}: {own.pixels[0]}x{own.pixels[1]} pixels of the picture are shown {own.enlarged:g}"
        f" times as large ({own.bucket[0]}x{own.bucket[1]})"
        for name, own in shown.items()
        if own.enlarged > ENLARGED
    ]
    seen = counts[mask] if mask.any() else counts.ravel()
    never = float((seen == 0).mean())
    if never > 0.01:
        found.append(
            f"{never:.0%} of her is in no crop; source/coverage.png shows where, crop.boxes adds"
            " one there"
        )
    if proposed != repeats:
        found.append(
            f"training.repeats is {repeats}; {proposed} would show {proposed * len(shown)} samples"
            " of her an epoch"
        )
    return found
