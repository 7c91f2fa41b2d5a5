"""The segmentation, beside the same written plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.imaging.segments import Array, Labels, segment, to_lab

EXAMPLES = Path(__file__).parents[2] / "examples"


def plainly(lab: Array, scale: float, least: int, tolerance: float) -> Labels:
    height, width = lab.shape[:2]
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    ends = [
        (index[:, :-1], index[:, 1:], lab[:, :-1] - lab[:, 1:]),
        (index[:-1], index[1:], lab[:-1] - lab[1:]),
    ]
    weights = np.concatenate([np.sqrt((step**2).sum(axis=-1)).ravel() for _, _, step in ends])
    ones = np.concatenate([one.ravel() for one, _, _ in ends])
    others = np.concatenate([other.ravel() for _, other, _ in ends])
    order = np.argsort(weights, kind="stable")
    edges = [(int(ones[at]), int(others[at]), float(weights[at])) for at in order]
    parent = list(range(height * width))
    size = [1] * len(parent)
    limit = [scale] * len(parent)

    def root(at: int) -> int:
        while parent[at] != at:
            at = parent[at]
        return at

    def merge(a: int, b: int) -> int:
        a, b = (b, a) if size[a] < size[b] else (a, b)
        parent[b] = a
        size[a] += size[b]
        return a

    for one, other, weight in edges:
        a = root(one)
        b = root(other)
        if a != b and (weight <= tolerance or weight <= min(limit[a], limit[b])):
            merged = merge(a, b)
            limit[merged] = weight + scale / size[merged]
    for one, other, _ in edges:
        a = root(one)
        b = root(other)
        if a != b and min(size[a], size[b]) < least:
            merge(a, b)
    _, labels = np.unique([root(at) for at in range(len(parent))], return_inverse=True)
    return labels.reshape(height, width).astype(np.int32)


@pytest.mark.parametrize("tolerance", [0.0, 1.5, 3.0])
@pytest.mark.parametrize("name", ["isabella.png", "drawings/ines.png", "heldout/luna.png", "noise"])
def test_pictures_have_the_same_regions(name: str, tolerance: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 31, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    if name != "noise":
        picture = Image.open(EXAMPLES / name).convert("RGB")
        picture.thumbnail((96, 96))
    lab = to_lab(np.asarray(picture))
    labels = segment(lab, 40.0, 12, tolerance)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, plainly(lab, 40.0, 12, tolerance))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_the_smallest_pictures_have_regions(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    lab = to_lab(pixels)
    assert np.array_equal(segment(lab), plainly(lab, 40.0, 12, 1.5))
