"""A redrawn part before, masked and after, with as much around it as shows that it fits in."""

from __future__ import annotations

from PIL import Image

from ..imaging.boxes import PixelBox
from ..imaging.load import over_white
from .inpaint_canvas import Canvas

RED = (220, 38, 38)
COVERS = 0.45  # of the red over what is masked
BETWEEN = 8  # pixels
MARGIN = 4  # of the drawn part's longer side, one part is shown around it


def before(canvas: Canvas) -> Image.Image:
    """The part as it was, at the picture's resolution."""
    return over_white(canvas.whole).crop(_around(canvas))


def masked(canvas: Canvas) -> Image.Image:
    """The part with the mask in red."""
    original = before(canvas)
    if canvas.painted is None:
        return original
    red = Image.blend(original, Image.new("RGB", original.size, RED), COVERS)
    return Image.composite(red, original, canvas.painted.crop(_around(canvas)))


def after(canvas: Canvas, result: Image.Image) -> Image.Image:
    """The part in a finished picture (RGB)."""
    return result.crop(_around(canvas)) if canvas.painted is not None else result


def strip_of(canvas: Canvas, result: Image.Image) -> Image.Image:
    """Before, masked and after, side by side."""
    pictures = (before(canvas), masked(canvas), after(canvas, result))
    width = sum(picture.width for picture in pictures) + BETWEEN * (len(pictures) - 1)
    strip = Image.new("RGB", (width, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, 0))
        left += picture.width + BETWEEN
    return strip


def _around(canvas: Canvas) -> PixelBox:
    """The drawn part and its surroundings, pixels of the whole picture."""
    left, top, right, bottom = canvas.shown
    margin = max(right - left, bottom - top) // MARGIN
    width, height = canvas.whole.size
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(width, right + margin),
        min(height, bottom + margin),
    )
