"""The smallest picture that a workspace is started with: of one colour alone none is."""

from __future__ import annotations

from typing import Any

from PIL import Image


def two_colours(size: tuple[int, int], colour: Any) -> Image.Image:
    """A ground of the colour with a white part."""
    image = Image.new("RGB", size, colour)
    image.paste("white", (0, 0, size[0] // 2, size[1] // 2))
    return image
