"""Masks from files: what the brush painted, whatever the layer, the paper and the colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.errors import PictureError
from lib_singlelora.imaging.mask_reader import read_mask, read_mask_bytes

SIZE = (120, 160)
BOX = (30, 40, 79, 99)
TRUTH = np.zeros((160, 120), bool)
TRUTH[40:100, 30:80] = True


def layer(
    brush: tuple[int, int, int, int], paper: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> Image.Image:
    image = Image.new("RGBA", SIZE, paper)
    ImageDraw.Draw(image).rectangle(BOX, fill=brush)
    return image


def paper(ground: object, brush: object, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, SIZE, ground)
    ImageDraw.Draw(image).rectangle(BOX, fill=brush)
    return image


def palette() -> Image.Image:
    image = paper(0, 1, "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.info["transparency"] = 0
    return image


MASKS = {
    "white brush on transparency": layer((255, 255, 255, 255)),
    "black brush on transparency": layer((0, 0, 0, 255)),
    "red brush on transparency": layer((220, 20, 20, 255)),
    "white brush on white transparency": layer((255, 255, 255, 255), (255, 255, 255, 0)),
    "half transparent brush": layer((255, 255, 255, 128)),
    "grey brush on transparency": layer((120, 120, 120, 255)),
    "white on black": paper("black", "white"),
    "white on black with opaque alpha": layer((255, 255, 255, 255), (0, 0, 0, 255)),
    "white on black, grey": paper(0, 255, "L"),
    "1 on 0": paper(0, 1, "L"),
    "one bit": paper(0, 1, "1"),
    "red on black": paper("black", (230, 10, 10)),
    "red on white": paper("white", (230, 10, 10)),
    "dark blue on white": paper("white", (10, 10, 130)),
    "16 bits": paper(0, 65535, "I;16"),
    "1 on 0 in 16 bits": paper(0, 1, "I;16"),
    "black brush in a palette with a transparent colour": palette(),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_means_what_the_brush_painted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mask.png"
    MASKS[kind].save(path)
    found = read_mask(path).image
    assert (found.mode, found.size) == ("L", SIZE)
    assert np.array_equal(np.asarray(found) > 127, TRUTH)


def test_a_grey_mask_keeps_its_shares() -> None:
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (40, 1)))
    data = io.BytesIO()
    ramp.convert("RGB").save(data, "PNG")
    assert np.array_equal(np.asarray(read_mask_bytes(data.getvalue()).image), np.asarray(ramp))


def test_white_and_black_on_transparency_is_told_and_white_counts(tmp_path: Path) -> None:
    image = layer((255, 255, 255, 255))
    ImageDraw.Draw(image).rectangle((0, 120, 119, 159), fill=(0, 0, 0, 255))
    image.save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png")
    assert np.array_equal(np.asarray(found.image) > 127, TRUTH)
    assert "white counts as painted" in found.notes[0]


def test_what_looks_inverted_is_told(tmp_path: Path) -> None:
    paper("white", "black").save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png")
    assert np.array_equal(np.asarray(found.image) > 127, ~TRUTH)
    assert "invert it" in found.notes[0]


def test_a_cut_out_picture_counts_where_it_is_left_and_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 120, 4), dtype=np.uint8)
    noise[..., 3] = np.where(TRUTH, 255, 0)
    Image.fromarray(noise, "RGBA").save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png")
    assert np.array_equal(np.asarray(found.image) > 127, TRUTH)
    assert "a part erased" in found.notes[0]


def test_a_picture_is_no_mask_and_an_empty_layer_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "mask.png")
    with pytest.raises(PictureError, match="colour picture"):
        read_mask(tmp_path / "mask.png")
    Image.new("RGBA", SIZE).save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png")
    assert found.image.getextrema() == (0, 0) and "nothing is painted" in found.notes[0]
    with pytest.raises(PictureError, match="mask: found text"):
        read_mask_bytes(b"no picture")


def test_a_mask_turned_by_its_camera_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    paper("black", "white").transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / "mask.png", exif=exif
    )
    assert np.array_equal(np.asarray(read_mask(tmp_path / "mask.png").image) > 127, TRUTH)
