"""A character on a plain colour, beside a calculation of every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.imaging.backdrop import _figure_colours, flatten
from lib_singlelora.imaging.flat_background import Colour

EXAMPLES = Path(__file__).parents[2] / "examples" / "drawings"


def of_every_pixel(
    image: Image.Image, mask: Image.Image, colour: Colour, background: Colour | None
) -> Image.Image:
    share = np.asarray(mask, dtype=np.float32)[..., None] / 255
    pixels = np.asarray(image, dtype=np.float32)
    edge = (share > 0) & (share < 1)
    if background is not None:
        mixed = (pixels - (1 - share) * np.array(background, np.float32)) / np.maximum(share, 0.1)
        unmixed = np.clip(mixed, 0, 255).astype(np.float32)
    else:
        unmixed = _figure_colours(image, mask)
    pixels = np.where(edge, unmixed, pixels)
    whole = np.rint(pixels * share + np.array(colour, np.float32) * (1 - share))
    return Image.fromarray(whole.astype(np.uint8))


@pytest.mark.parametrize("background", [None, (200, 210, 255), (0, 0, 0)])
@pytest.mark.parametrize("colour", [(255, 255, 255), (143, 192, 160)])
def test_edges_alone_are_calculated(colour: Colour, background: Colour | None) -> None:
    image = Image.open(EXAMPLES / "ines.png").convert("RGB").reduce(3)
    mask = Image.open(EXAMPLES / "ines-mask.png").convert("L").resize(image.size)
    noise = np.random.default_rng(0).integers(0, 256, mask.size[::-1], dtype=np.uint8)
    for cover in (mask, Image.fromarray(noise), Image.new("L", image.size, 255)):
        flat = flatten(image, cover, colour, background)
        expected = of_every_pixel(image, cover, colour, background)
        assert flat.mode == "RGB" and flat.tobytes() == expected.tobytes()
