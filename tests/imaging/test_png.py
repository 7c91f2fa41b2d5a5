"""PNG files, read by Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.imaging.png import png_bytes

EXAMPLES = Path(__file__).parents[2] / "examples"


def read(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        return opened


def by_pillow(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (300, 1), (37, 51), (256, 256)])
def test_a_picture_is_read_as_it_was(mode: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[0])
    noise = rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    for image in (Image.fromarray(noise, "RGBA").convert(mode), Image.new(mode, size)):
        again = read(png_bytes(image))
        assert again.mode == mode and again.size == size
        assert again.tobytes() == image.tobytes()


@pytest.mark.parametrize("name", ["isabella.png", "drawings/ines.png", "drawings/ines-mask.png"])
def test_a_file_is_hardly_larger_than_the_default(name: str) -> None:
    picture = Image.open(EXAMPLES / name)
    picture = picture.convert("L" if name.endswith("mask.png") else "RGB")
    assert len(png_bytes(picture)) < 1.1 * len(by_pillow(picture))


@pytest.mark.parametrize("parameters", ["a girl, émail\nSteps: 20", "女の子", "x" * 100_000])
def test_the_parameters_are_read_before_the_pixels(parameters: str) -> None:
    with Image.open(io.BytesIO(png_bytes(Image.new("RGB", (8, 8)), parameters))) as opened:
        assert opened.info["parameters"] == parameters


def test_what_lies_beside_the_pixels_stays() -> None:
    picture = Image.new("RGB", (8, 8), "red")
    picture.info["icc_profile"] = b"a profile"
    assert read(png_bytes(picture)).info["icc_profile"] == b"a profile"
    picture = Image.new("L", (8, 8), 0)
    picture.info["transparency"] = 0
    assert read(png_bytes(picture)).info["transparency"] == 0


@pytest.mark.parametrize("mode", ["1", "P", "LA"])
def test_other_modes_stay_what_they_are(mode: str) -> None:
    again = read(png_bytes(Image.new(mode, (9, 7), 1)))
    assert again.mode == mode and again.size == (9, 7)
