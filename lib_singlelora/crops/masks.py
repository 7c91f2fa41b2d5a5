"""The part of the source's mask that belongs to a crop."""

from __future__ import annotations

from PIL import Image

from ..errors import PictureError
from ..imaging.boxes import PixelBox, box_size

# How far the aspect ratios of a box and of the picture cut from it may differ by rounding.
SAME_SHAPE = 0.01


def crop_mask(mask: Image.Image, box: PixelBox, size: tuple[int, int] | None = None) -> Image.Image:
    """The mask (L, 255 is the character) of a crop.

    mask: of the whole prepared picture.
    box: the crop's place in it.
    size: of the crop's file, where it was resized since; default the box's.
    Raises: PictureError, for a box that does not lie in the mask, or a size of another aspect ratio
        than the box's.
    """
    left, top, right, bottom = box
    width, height = box_size(box)
    if not (0 <= left < right <= mask.width and 0 <= top < bottom <= mask.height):
        raise PictureError(
            f"source/mask.png: found {mask.width}x{mask.height}, expected the size of the picture"
            f" that the crop at {left},{top} to {right},{bottom} was cut from; call 'crop --force',"
            " or fix the mask"
        )
    piece = mask.convert("L").crop(box)
    if size is None or size == piece.size:
        return piece
    if abs(size[0] * height / (size[1] * width) - 1) > SAME_SHAPE + 1 / min(size):
        raise PictureError(
            f"crop: found {size[0]}x{size[1]} pixels, expected the aspect ratio of its box"
            f" ({width}x{height}); it was cropped again by hand, so the source's mask does not tell"
            " where the character is in it"
        )
    return piece.resize(size, Image.Resampling.BICUBIC)
