"""The sizes that a family such as SDXL is told of a picture.

SDXL was trained with the size that each picture had before it was resized, and where it was cropped
afterwards, so that small and cut pictures teach it nothing about large, whole ones.

Source: Podell et al. 2023, "SDXL: Improving Latent Diffusion Models for High-Resolution Image
Synthesis", section 2.2.
"""

from __future__ import annotations

from ..crops.buckets import crop_box
from .epoch_plan import Picture

Sizes = tuple[float, float, float, float, float, float]


def size_numbers(kind: str, picture: Picture, mirrored: bool = False) -> Sizes:
    """Original height and width, crop top and left, target height and width, in pixels.

    kind: of `training.size_conditioning`.
        real: the picture's own pixels, before it was enlarged, and where the bucket cuts it.
        kohya: the file's pixels, and the crop as sd-scripts calculates it.
        constant: a whole picture of the bucket's size, as when pictures are drawn.
    mirrored: the picture is shown so.
    """
    width, height = picture.bucket
    if kind == "constant":
        return (height, width, 0, 0, height, width)
    file_size = picture.file_size or picture.bucket
    if kind == "kohya":
        left, top = _kohya_crop(file_size, picture.bucket, mirrored)
        return (file_size[1], file_size[0], top, left, height, width)
    own = picture.true_size or file_size
    left, top = _crop(file_size, picture.bucket)
    # The bucket cuts as much on the right as on the left: mirroring changes nothing.
    return (own[1], own[0], top, left, height, width)


def _crop(size: tuple[int, int], bucket: tuple[int, int]) -> tuple[int, int]:
    """Left and top of what a bucket shows of a picture, in pixels of the resized picture."""
    left, top, right, bottom = crop_box(size, bucket)
    return round(left * bucket[0] / (right - left)), round(top * bucket[1] / (bottom - top))


def _kohya_crop(
    size: tuple[int, int], bucket: tuple[int, int], mirrored: bool
) -> tuple[float, float]:
    """Left and top as sd-scripts gives them to SDXL.

    It fits the picture into the bucket, where it should cover it: a picture that the bucket cuts
    on one side is given an offset on the other.

    Source: sd-scripts 0.9.1, library/train_util.py, BucketManager.get_crop_ltrb, and
        BaseDataset.__getitem__ for the mirrored one.
    """
    aspect = size[0] / size[1]
    wider = bucket[0] / bucket[1] > aspect
    width = bucket[1] * aspect if wider else bucket[0]
    height = bucket[1] if wider else bucket[0] / aspect
    left = (bucket[0] - width) // 2
    top = (bucket[1] - height) // 2
    return (bucket[0] - (left + width) if mirrored else left), top
