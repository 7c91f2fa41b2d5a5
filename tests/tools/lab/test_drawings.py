"""The drawings that the renderer did not make: complete, small, and apart from one another."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.lab.likeness import fields_of, likeness

FOLDER = Path(__file__).parents[3] / "examples" / "drawings"
NAMES = sorted(file.stem for file in FOLDER.glob("*.svg"))


def test_there_are_five() -> None:
    assert len(NAMES) == 5


@pytest.mark.parametrize("name", NAMES)
def test_each_has_picture_mask_and_description_of_one_size(name: str) -> None:
    picture = FOLDER / f"{name}.png"
    assert picture.stat().st_size <= 400_000
    svg = ElementTree.parse(FOLDER / f"{name}.svg").getroot()
    size = int(svg.attrib["width"]), int(svg.attrib["height"])
    with Image.open(picture) as image, Image.open(FOLDER / f"{name}-mask.png") as mask:
        assert image.size == mask.size == size
        assert 1024 <= max(size) <= 2048
        assert 0.15 < np.asarray(mask).mean() < 0.5
    assert f"`{name}.png` | {size[0]} × {size[1]}" in (FOLDER / "README.md").read_text("utf-8")


def test_they_are_unlike_one_another() -> None:
    fields = {}
    for name in NAMES:
        with (
            Image.open(FOLDER / f"{name}.png") as image,
            Image.open(FOLDER / f"{name}-mask.png") as mask,
        ):
            fields[name] = fields_of(image, mask)
    assert all(likeness(found, found) == 1.0 for found in fields.values())
    assert all(likeness(fields[a], fields[b]) < 0.6 for a, b in permutations(NAMES, 2))
