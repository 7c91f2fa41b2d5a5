"""The simplest picture that a workspace accepts: one of a single colour is refused."""

from __future__ import annotations

from typing import Any

from PIL import Image


def two_colours(size: tuple[int, int], colour: Any) -> Image.Image:
    """A picture whose upper left quarter is white and the rest of the colour."""
    image = Image.new("RGB", size, colour)
    image.paste("white", (0, 0, size[0] // 2, size[1] // 2))
    return image
