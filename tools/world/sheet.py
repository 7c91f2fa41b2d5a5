"""Contact sheets: python -m tools.world.sheet OUT.png [--seed 0] [--count 48] [--size 128]."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .scenes.sample import sample_scene
from .scenes.scene import render


def grid(pictures: Sequence[NDArray[np.uint8]], columns: int) -> Image.Image:
    """The pictures, (H, W, 3) each and all of one size, in rows on white."""
    h, w, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (h + 4), columns * (w + 4), 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y = i // columns * (h + 4)
        x = i % columns * (w + 4)
        sheet[y : y + h, x : x + w] = picture
    return Image.fromarray(sheet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--columns", type=int, default=8)
    given = parser.parse_args()
    grid(
        [render(sample_scene(given.seed + i), given.size).pixels for i in range(given.count)],
        given.columns,
    ).save(given.out)


if __name__ == "__main__":
    main()
