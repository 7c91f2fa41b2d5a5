"""Resolution buckets, as kohya makes them.

Source: kohya-ss/sd-scripts, library/model_util.py make_bucket_resolutions and
    library/train_util.py BucketManager.
"""

from __future__ import annotations

import math

from PIL import Image

from ..host import Host
from ..imaging.boxes import SubpixelBox
from ..settings.schema import Settings

Size = tuple[int, int]  # width, height; pixels


def make_buckets(
    resolution: int, step: int | None = None, low: int | None = None, high: int | None = None
) -> list[Size]:
    """Every bucket of about resolution² pixels, the narrowest first.

    At 512 these are kohya's 17.

    step: sides are multiples of it; default 64, below a resolution of 512 32.
    low, high: the shortest and the longest side; default half and twice the resolution.
    """
    step = step or (64 if resolution >= 512 else 32)
    low = low or max(step, resolution // 2)
    high = high or max(step, 2 * resolution)
    area = resolution * resolution
    square = max(step, int(math.sqrt(area)) // step * step)
    buckets = {(square, square)}
    for width in range(math.ceil(low / step) * step, high + 1, step):
        height = min(high, area // width // step * step)
        if height >= low:
            buckets |= {(width, height), (height, width)}
    return sorted(buckets)


def square_bucket(resolution: int) -> Size:
    """The square bucket of a resolution."""
    return next(bucket for bucket in make_buckets(resolution) if bucket[0] == bucket[1])


def nearest_bucket(size: Size, buckets: list[Size]) -> Size:
    """The bucket of the nearest aspect ratio; of several the largest."""
    aspect = size[0] / size[1]
    return min(
        buckets, key=lambda bucket: (abs(bucket[0] / bucket[1] - aspect), -bucket[0] * bucket[1])
    )


def crop_box(size: Size, bucket: Size) -> SubpixelBox:
    """The centred part of a picture of this size that a bucket shows."""
    width, height = size
    scale = max(bucket[0] / width, bucket[1] / height)
    # Rounding may give a hair more than the picture, which Pillow refuses.
    shown_width = min(width, bucket[0] / scale)
    shown_height = min(height, bucket[1] / scale)
    left = (width - shown_width) / 2
    top = (height - shown_height) / 2
    return left, top, left + shown_width, top + shown_height


def fit_to_bucket(image: Image.Image, bucket: Size) -> Image.Image:
    """The picture resized and centre-cropped to exactly the bucket's size."""
    if image.size == bucket:
        return image
    return image.resize(bucket, Image.Resampling.LANCZOS, box=crop_box(image.size, bucket))


def training_resolution(settings: Settings, host: Host) -> int:
    """The side of the square whose area the buckets have, pixels."""
    return settings.training.resolution or host.checkpoint.native_size


def training_buckets(settings: Settings, host: Host) -> list[Size]:
    """The buckets that pictures are trained in."""
    resolution = training_resolution(settings, host)
    return make_buckets(resolution) if settings.training.buckets else [square_bucket(resolution)]
