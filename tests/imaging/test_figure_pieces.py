"""What is quicker than Pillow's filters is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_singlelora.imaging.figure_cut import _median
from lib_singlelora.imaging.figure_pieces import _grown

EXAMPLES = Path(__file__).parents[2] / "examples"
SHAPES = [(1, 1), (2, 9), (3, 2), (37, 61), (128, 128)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pixels", [1, 2, 3])
def test_a_mask_grows_as_by_a_maximum_filter(shape: tuple[int, int], pixels: int) -> None:
    rng = np.random.default_rng(pixels)
    for share in (0.0, 0.02, 0.2, 1.0):
        mask = rng.random(shape) < share
        filtered = Image.fromarray(mask.astype(np.uint8) * 255).filter(
            ImageFilter.MaxFilter(2 * pixels + 1)
        )
        before = mask.copy()
        assert np.array_equal(_grown(mask, pixels), np.asarray(filtered) > 127)
        assert np.array_equal(mask, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_median_is_pillow_s(shape: tuple[int, int]) -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    drawn = Image.open(EXAMPLES / "isabella.png").convert("RGB").resize(shape[::-1])
    for image in (noise, drawn):
        assert _median(image).tobytes() == image.filter(ImageFilter.MedianFilter(5)).tobytes()
