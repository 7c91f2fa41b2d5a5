"""Reading pictures: what each mode and each broken file becomes."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngImageFile

from lib_singlelora.errors import PictureError
from lib_singlelora.imaging.load import (
    LONGEST_SIDE,
    load_picture,
    load_picture_bytes,
    picture_size,
    readable_formats,
)

RED = (200, 30, 40)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def ramp(top: int, dtype: type) -> Image.Image:
    """Grey from 0 to `top`, 64 rows of 256 values."""
    return Image.fromarray(np.tile(np.linspace(0, top, 256).astype(dtype), (64, 1)))


def in_mode(mode: str) -> Image.Image:
    image = Image.new("RGB", (70, 50), RED)
    return image.quantize(4) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb_of_the_same_size(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    picture = load_picture(save(tmp_path / f"a.{suffix}", in_mode(mode)))
    assert (picture.image.mode, picture.image.size) == ("RGB", (70, 50))
    assert picture.alpha is None
    if mode in ("RGB", "RGBA", "P"):
        assert picture.image.getpixel((5, 5)) == RED


def test_cmyk_keeps_its_colour_and_is_told(tmp_path: Path) -> None:
    picture = load_picture(
        save(tmp_path / "a.jpg", Image.new("RGB", (64, 64), RED).convert("CMYK"), quality=95)
    )
    assert np.allclose(picture.image.getpixel((5, 5)), RED, atol=4)
    assert any("CMYK" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("suffix", "top", "dtype"),
    [
        ("png", 65535, np.uint16),
        ("tif", 65535, np.uint16),
        ("tif", 65535, np.int32),
        ("tif", 1, np.float32),
        ("tif", 255, np.float32),
        ("tif", 5000, np.float32),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped(
    tmp_path: Path, suffix: str, top: int, dtype: type
) -> None:
    values = np.asarray(load_picture(save(tmp_path / f"a.{suffix}", ramp(top, dtype))).image)[
        0, :, 0
    ].astype(int)
    if (top, dtype) == (1, np.float32):
        assert (values[0], values[-1]) == (0, 255)
        return
    assert np.abs(values - np.arange(256)).max() <= 1


def test_dark_16_bit_grey_stays_dark(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((64, 64), 2570, dtype=np.uint16))
    assert load_picture(save(tmp_path / "a.png", image)).image.getpixel((0, 0)) == (10, 10, 10)


@pytest.mark.parametrize(
    ("suffix", "top", "dtype"),
    [
        ("png", 4095, np.uint16),
        ("tif", 4095, np.uint16),
        ("tif", 4095, ">u2"),
        ("png", 1023, np.uint16),
        ("png", 16383, np.uint16),
        ("tif", 4095, np.int32),
    ],
)
def test_grey_of_fewer_bits_in_16_is_scaled_by_what_it_holds(
    tmp_path: Path, suffix: str, top: int, dtype: object
) -> None:
    picture = load_picture(save(tmp_path / f"a.{suffix}", ramp(top, dtype)))
    assert np.abs(np.asarray(picture.image)[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    assert any("bit grey in 16 bits" in note for note in picture.notes)


def write_deep_png(path: Path, values: np.ndarray) -> Path:
    """A PNG of 16 bits a colour, (H, W, 3 or 4): Pillow writes none."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(
        ">IIBBBBB", values.shape[1], values.shape[0], 16, {3: 2, 4: 6}[values.shape[2]], 0, 0, 0
    )
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize(("top", "channels"), [(65535, 3), (4095, 3), (4095, 4), (1023, 3)])
def test_colours_of_16_bits_are_scaled_by_what_they_hold(
    tmp_path: Path, top: int, channels: int
) -> None:
    values = np.tile(
        np.linspace(0, top, 256).round().astype(np.uint16)[None, :, None], (64, 1, channels)
    )
    values[..., 3:] = 65535
    picture = load_picture(write_deep_png(tmp_path / "a.png", values))
    assert np.abs(np.asarray(picture.image)[0, :, 1].astype(int) - np.arange(256)).max() <= 1


def test_transparency_lies_over_white_and_is_kept_apart(tmp_path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((*RED, 255), (16, 16, 48, 48))
    picture = load_picture(save(tmp_path / "a.png", image))
    assert picture.image.getpixel((0, 0)) == (255, 255, 255)
    assert picture.image.getpixel((32, 32)) == RED
    assert picture.alpha is not None
    assert (picture.alpha.getpixel((0, 0)), picture.alpha.getpixel((32, 32))) == (0, 255)


def test_a_palette_s_transparent_colour_is_transparent(tmp_path: Path) -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (16, 16, 48, 48))
    picture = load_picture(save(tmp_path / "a.png", image, transparency=0))
    assert picture.image.getpixel((0, 0)) == (255, 255, 255)
    assert picture.alpha is not None


def test_the_camera_s_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn clockwise.
    path = save(tmp_path / "a.jpg", Image.new("RGB", (80, 40), RED), exif=exif)
    assert load_picture(path).image.size == picture_size(path) == (40, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "I;16", "L"])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_all_eight_orientations_show_the_same(
    tmp_path: Path, orientation: int, mode: str, ending: str
) -> None:
    upright = Image.fromarray(np.arange(64 * 40, dtype=np.uint16).reshape(64, 40) * 20)
    upright = (
        upright
        if mode == "I;16"
        else Image.fromarray(np.asarray(upright, dtype=np.float32) / 256).convert(mode)
    )
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(
        tmp_path / f"a.{ending}",
        upright.transpose(stored) if stored is not None else upright,
        exif=exif,
    )
    expected = load_picture(save(tmp_path / "b.png", upright)).image
    assert load_picture(path).image.tobytes() == expected.tobytes() and picture_size(path) == (
        40,
        64,
    )


def test_bytes_are_read_as_a_file_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (64, 64), RED))
    assert (
        load_picture_bytes(path.read_bytes(), "given").image.tobytes()
        == load_picture(path).image.tobytes()
    )
    with pytest.raises(PictureError, match="given: found text"):
        load_picture_bytes(b"no picture", "given")


def test_avif_is_read_or_it_is_said_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    if "AVIF" in readable_formats():
        assert np.allclose(
            load_picture(save(path, Image.new("RGB", (64, 64), RED))).image.getpixel((5, 5)),
            RED,
            atol=6,
        )
    else:
        path.write_bytes(b"\0\0\0\x1cftypavif" + bytes(50))
        with pytest.raises(PictureError, match=r"AVIF picture.*cannot read.*pillow-avif-plugin"):
            load_picture(path)


def test_colours_of_another_profile_become_srgb(tmp_path: Path) -> None:
    lab = ImageCms.createProfile("LAB")
    profile = (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"sRGB", b"XYZW")
    )
    picture = load_picture(
        save(tmp_path / "a.png", Image.new("RGB", (64, 64), RED), icc_profile=profile)
    )
    assert np.allclose(picture.image.getpixel((5, 5)), RED, atol=2)
    # A profile that does not fit the picture is no reason to refuse it.
    broken = save(
        tmp_path / "b.png",
        Image.new("RGB", (64, 64), RED),
        icc_profile=ImageCms.ImageCmsProfile(lab).tobytes(),
    )
    assert load_picture(broken).image.getpixel((5, 5)) == RED


def test_an_animation_gives_its_first_picture_and_says_so(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in (RED, (0, 0, 255), (0, 255, 0))]
    picture = load_picture(
        save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    )
    assert np.allclose(picture.image.getpixel((5, 5)), RED, atol=8)
    assert any("3 frames" in note for note in picture.notes)


def test_a_very_wide_picture_is_reduced(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        picture = load_picture(save(tmp_path / f"a.{suffix}", Image.new("RGB", (30_000, 200), RED)))
        assert picture.image.width <= LONGEST_SIDE
        assert abs(picture.image.width / picture.image.height - 150) < 4
        assert any("30000" in note for note in picture.notes)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def broken(path: Path, kind: str) -> Path:
    whole = path.with_name("whole.jpg")
    Image.effect_noise((200, 200), 60).convert("RGB").save(whole)
    contents = {
        "text": b"this is no picture\n",
        "empty": b"",
        "truncated": whole.read_bytes()[:3000],
        "large": png_header(12_000, 12_000),
        "huge": png_header(30_000, 30_000),
        "bomb": png_header(4_000, 4_000_000),
        "pixelless": png_header(100, 100),
        "heic": b"\0\0\0\x18ftypheic" + bytes(50),
        "svg": b"<svg xmlns='x'></svg>",
        "garbage": os.urandom(400),
    }
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("text", "found text"),
        ("empty", "an empty file"),
        ("truncated", "truncated"),
        ("large", "12000x12000"),
        ("huge", "900 megapixels"),
        ("bomb", "16000 megapixels"),
        ("pixelless", "truncated"),
        ("heic", "HEIC"),
        ("svg", "SVG"),
        ("garbage", "unknown data"),
    ],
)
def test_what_is_no_whole_picture_is_one_clear_line(tmp_path: Path, kind: str, told: str) -> None:
    with pytest.raises(PictureError, match=told) as caught:
        load_picture(broken(tmp_path / "a.png", kind))
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_single_pixel_is_refused_and_a_smaller_limit_can_be_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (1, 1), RED))
    with pytest.raises(PictureError, match="found 1x1 pixels"):
        load_picture(path)
    assert load_picture(path, smallest=1).image.size == (1, 1)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no such file"):
        load_picture(tmp_path / "a.png")
    with pytest.raises(PictureError, match="a folder"):
        load_picture(tmp_path)


def test_nothing_but_transparency_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="only transparency"):
        load_picture(save(tmp_path / "a.png", Image.new("RGBA", (64, 64), (9, 9, 9, 0))))


def chunks_of(data: bytes) -> list[bytes]:
    """The chunks of a PNG, whole."""
    found = []
    at = 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        found.append(data[at:end])
        at = end
    return found


@pytest.mark.parametrize("behind", [False, True])
def test_a_png_s_size_is_upright_wherever_its_exif_data_lies(tmp_path: Path, behind: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", Image.new("RGB", (80, 40), RED), exif=exif)
    chunks = chunks_of(path.read_bytes())
    said = next(chunk for chunk in chunks if chunk[4:8] == b"eXIf")
    chunks.remove(said)
    chunks.insert(-1 if behind else 1, said)
    path.write_bytes(path.read_bytes()[:8] + b"".join(chunks))
    assert picture_size(path) == (40, 80)


def test_the_size_of_a_png_without_more_is_told_without_decoding_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (80, 40), RED))
    cut = tmp_path / "cut.png"
    cut.write_bytes(path.read_bytes()[:-20])
    assert picture_size(cut) == (80, 40)
    monkeypatch.setattr(PngImageFile, "load", None)
    assert picture_size(path) == (80, 40)
