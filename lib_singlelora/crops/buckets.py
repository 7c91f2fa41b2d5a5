"""Resolution buckets, as kohya makes them.

Source: kohya-ss/sd-scripts, library/model_util.py make_bucket_resolutions and library/train_util.py
BucketManager.
"""

from __future__ import annotations

import math

from PIL import Image

from ..host import Host
from ..settings.schema import Settings

Size = tuple[int, int]


def make_buckets(
    resolution: int, step: int | None = None, low: int | None = None, high: int | None = None
) -> list[Size]:
    """The (width, height) of every bucket of about resolution² pixels, narrowest first.

    Sides are multiples of `step` (64; 32 below 512) between `low` and `high` (half and twice the
    resolution). At 512 these are kohya's 17.
    """
    step = step or (64 if resolution >= 512 else 32)
    low, high = low or max(step, resolution // 2), high or max(step, 2 * resolution)
    area = resolution * resolution
    square = max(step, int(math.sqrt(area)) // step * step)
    found = {(square, square)}
    for width in range(math.ceil(low / step) * step, high + 1, step):
        height = min(high, area // width // step * step)
        if height >= low:
            found |= {(width, height), (height, width)}
    return sorted(found)


def square_bucket(resolution: int) -> Size:
    """The one of `make_buckets` that is square."""
    return next(bucket for bucket in make_buckets(resolution) if bucket[0] == bucket[1])


def nearest_bucket(size: Size, buckets: list[Size]) -> Size:
    """The bucket whose aspect ratio is nearest to that of a picture of this size; of equal ones the
    largest.
    """
    aspect = size[0] / size[1]
    return min(
        buckets, key=lambda bucket: (abs(bucket[0] / bucket[1] - aspect), -bucket[0] * bucket[1])
    )


def crop_box(size: Size, bucket: Size) -> tuple[float, float, float, float]:
    """The centred part (left, top, right, bottom; pixels) of a picture that a bucket shows."""
    width, height = size
    scale = max(bucket[0] / width, bucket[1] / height)
    # Rounding may say a hair more than there is, which Pillow refuses.
    shown_width, shown_height = min(width, bucket[0] / scale), min(height, bucket[1] / scale)
    left, top = (width - shown_width) / 2, (height - shown_height) / 2
    return left, top, left + shown_width, top + shown_height


def fit_to_bucket(image: Image.Image, bucket: Size) -> Image.Image:
    """The picture resized and centre-cropped to exactly the bucket's size."""
    if image.size == bucket:
        return image
    return image.resize(bucket, Image.Resampling.LANCZOS, box=crop_box(image.size, bucket))


def training_resolution(settings: Settings, host: Host) -> int:
    """Side of the square whose area the buckets fill, pixels."""
    return settings.training.resolution or host.checkpoint.native_size


def training_buckets(settings: Settings, host: Host) -> list[Size]:
    """The sizes (width, height) that pictures are trained in."""
    resolution = training_resolution(settings, host)
    return make_buckets(resolution) if settings.training.buckets else [square_bucket(resolution)]
