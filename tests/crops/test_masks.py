"""Each crop's part of the source's mask."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.crops.masks import crop_mask
from lib_singlelora.errors import PictureError

MASK = Image.fromarray(np.arange(100 * 80, dtype=np.uint32).reshape(100, 80).astype(np.uint8))


def test_a_crop_s_mask_is_the_source_s_in_its_box() -> None:
    assert np.array_equal(
        np.asarray(crop_mask(MASK, (10, 20, 50, 90))), np.asarray(MASK)[20:90, 10:50]
    )


def test_a_crop_that_was_enlarged_gets_a_mask_of_its_size() -> None:
    assert crop_mask(MASK, (10, 20, 50, 90), (80, 140)).size == (80, 140)


def test_a_mask_of_another_size_and_a_crop_of_another_shape_are_told() -> None:
    with pytest.raises(PictureError, match="found 80x100, expected the size of the picture"):
        crop_mask(MASK, (10, 20, 90, 90))
    with pytest.raises(PictureError, match=r"found 64x64 pixels, .*\(40x70\)"):
        crop_mask(MASK, (10, 20, 50, 90), (64, 64))
