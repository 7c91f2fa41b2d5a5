from __future__ import annotations

import pytest
from PIL import Image

from lib_singlelora.crops.buckets import crop_box, fit_to_bucket, make_buckets, nearest_bucket

# As sd-scripts v0.9.1 makes them for 512x512, step 64, 256 to 1024.
KOHYA_512 = {
    (512, 512),
    (448, 576),
    (384, 640),
    (320, 704),
    (320, 768),
    (256, 832),
    (256, 896),
    (256, 960),
    (256, 1024),
}


def test_at_512_the_buckets_are_kohya_s_seventeen() -> None:
    buckets = make_buckets(512)
    assert len(buckets) == 17
    assert set(buckets) == KOHYA_512 | {(height, width) for width, height in KOHYA_512}


def test_at_1024_they_hold_the_sizes_that_xl_is_drawn_at_and_none_is_narrower_than_its_own() -> (
    None
):
    """As sd-scripts makes them between 512 and 2048, which are SDXL's own narrowest and longest."""
    buckets = make_buckets(1024)
    for width, height in ((768, 1344), (832, 1216), (896, 1152), (1024, 1024), (640, 1536)):
        assert (width, height) in buckets and (height, width) in buckets
    sides = [side for bucket in buckets for side in bucket]
    assert (min(sides), max(sides)) == (512, 2048)


@pytest.mark.parametrize("resolution", [64, 128, 192, 256, 320, 512, 640, 768, 1024])
def test_buckets_hold_the_square_no_more_than_the_area_and_only_whole_steps(
    resolution: int,
) -> None:
    step = 64 if resolution >= 512 else 32
    buckets = make_buckets(resolution)
    assert (resolution, resolution) in buckets
    for width, height in buckets:
        assert width % step == height % step == 0
        assert width * height <= resolution * resolution
        assert (height, width) in buckets


def test_the_nearest_bucket_has_the_nearest_aspect_ratio() -> None:
    assert nearest_bucket((1000, 1000), make_buckets(512)) == (512, 512)
    assert nearest_bucket((600, 1000), make_buckets(512)) == (384, 640)
    assert nearest_bucket((3000, 100), make_buckets(512)) == (1024, 256)


def test_the_centre_of_a_picture_fills_the_bucket() -> None:
    assert crop_box((1000, 500), (512, 512)) == (250, 0, 750, 500)
    image = Image.new("RGB", (100, 50), "red")
    image.paste("blue", (25, 0, 75, 50))
    fitted = fit_to_bucket(image, (64, 64))
    assert fitted.size == (64, 64)
    assert fitted.getpixel((5, 5)) == fitted.getpixel((58, 58)) == (0, 0, 255)


def test_every_size_fits_every_bucket() -> None:
    """Rounding once gave boxes a hair larger than the picture."""
    for bucket in make_buckets(64) + make_buckets(512):
        for width in range(50, 1000, 37):
            for height in (33, 64, 195, 590, 1937):
                left, top, right, bottom = crop_box((width, height), bucket)
                assert left >= 0 and top >= 0 and right <= width and bottom <= height
