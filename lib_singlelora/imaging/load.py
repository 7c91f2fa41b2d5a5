"""Reading pictures of any kind: upright, 8-bit RGB, alpha apart."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from ..errors import PictureError
from .file_kind import nature

# Pillow's other formats are documents, icons and such that call other programs.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA")
SMALLEST = 32
MOST_PIXELS = 100_000_000
LONGEST_SIDE = 8192
_ORIENTATION = 0x0112
_PNG_SIGNATURE = 8  # bytes
_TIFF_WIDTH = 0x0100
_TIFF_HEIGHT = 0x0101
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    struct.error,
)


@dataclass(frozen=True)
class Picture:
    """A picture as the rest of the program wants it.

    image: RGB, transparency laid over white.
    alpha: L (255 opaque), or None when nothing is transparent.
    notes: what was done to it, for the user.
    """

    image: Image.Image
    alpha: Image.Image | None = None
    notes: tuple[str, ...] = field(default=())


def load_picture(path: Path, smallest: int = SMALLEST) -> Picture:
    """The picture in a file of any mode and bit depth, turned upright by its EXIF data.

    Memory stays bounded: the size is read from the header first, more than MOST_PIXELS are refused
    (a JPEG is decoded at a fraction instead), and a side beyond LONGEST_SIDE is reduced to it.

    smallest: pixels that the shorter side must have.
    Raises: PictureError.
    """
    return _load(_existing(path), path.name, smallest)


def load_layer(path: Path, smallest: int = SMALLEST) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture as `load_picture` reads it, not laid over white, and what was done to it.

    It is RGBA where anything is transparent, else RGB.
    Raises: PictureError.
    """
    notes: list[str] = []
    with _opened(_existing(path), path.name) as opened:
        layer = to_layer(_decoded(path, opened, path.name, smallest, notes), notes)
    _check_visible(layer, path.name)
    return layer, tuple(notes)


def load_picture_bytes(data: bytes, name: str, smallest: int = SMALLEST) -> Picture:
    """The picture in a file's bytes.

    name: of the file, for errors.
    Raises: PictureError.
    """
    return _load(io.BytesIO(data), name, smallest)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a file's picture as `load_picture` shows it: turned upright.

    Raises: PictureError.
    """
    with _opened(_existing(path), path.name) as opened:
        width, height = opened.size
        # Pillow decodes a PNG to find EXIF data that follows the pixels
        decodes = opened.format == "PNG" and not _ends_with_pixels(path)
        if decodes:
            _check_pixels(path.name, (width, height))
        sideways = _orientation(opened, decodes) in _SIDEWAYS
        if opened.format == "TIFF":  # from Pillow 11 on its size is that of the turned picture
            stored: Any = getattr(opened, "tag_v2", {})
            width = int(stored.get(_TIFF_WIDTH, width))
            height = int(stored.get(_TIFF_HEIGHT, height))
        return (height, width) if sideways else (width, height)


def stored_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height in a file's header, not turned upright; nothing is decoded.

    Raises: PictureError, for what is no picture, or one of more than MOST_PIXELS.
    """
    with _opened(io.BytesIO(data), name) as opened:
        _check_pixels(name, opened.size)
        return opened.size


def read_rgb(path: Path) -> Image.Image:
    """The picture alone, RGB over white, of any size: for files that a stage or a host drew.

    They go through the same reader, because a workspace may come from anybody.
    Raises: PictureError.
    """
    with _opened(_existing(path), path.name) as opened:
        return to_rgb(_decoded(path, opened, path.name, 1, []), [])[0]


def picture_parameters(path: Path) -> str:
    """The generation parameters, as WebUIs write them into a PNG; '' without any.

    Raises: PictureError.
    """
    with _opened(_existing(path), path.name) as opened:
        return str(opened.info.get("parameters", ""))


def decoded_picture(
    source: Path | bytes, name: str, smallest: int, notes: list[str]
) -> Image.Image:
    """The pixels in the file's own mode, upright and within the limits.

    notes: what was done is appended.
    Raises: PictureError.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else _existing(source)
    with _opened(file, name) as opened:
        return _decoded(file, opened, name, smallest, notes)


def _load(file: Path | io.BytesIO, name: str, smallest: int) -> Picture:
    notes: list[str] = []
    with _opened(file, name) as opened:
        layer = to_layer(_decoded(file, opened, name, smallest, notes), notes)
    _check_visible(layer, name)
    alpha = layer.getchannel("A") if layer.mode == "RGBA" else None
    return Picture(over_white(layer), alpha, tuple(notes))


def _check_visible(layer: Image.Image, name: str) -> None:
    if layer.mode == "RGBA" and layer.getchannel("A").getextrema() == (0, 0):
        raise PictureError(
            f"{name}: found only transparency, expected something visible; choose another picture"
        )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise PictureError(
            f"{path}: found {'a folder' if path.is_dir() else 'no such file'}, expected a picture; "
            "check the path"
        )
    return path


def readable_formats() -> list[str]:
    """Pillow's names of the formats that can be read here.

    Pillow reads AVIF from 11.3 on; before that the package pillow-avif-plugin, which the WebUI
    installs, adds it.
    """
    Image.init()
    if "AVIF" not in Image.OPEN:
        with contextlib.suppress(ImportError):
            importlib.import_module("pillow_avif")
    return [name for name in FORMATS if name in Image.OPEN]


def forget_other_formats() -> None:
    """Have Pillow read no other formats in this process: EPS would start Ghostscript.

    For a process of our own; another program may want the other formats.
    """
    readable = readable_formats()
    for name in set(Image.OPEN) - set(readable):
        del Image.OPEN[name]
    Image.ID[:] = [name for name in Image.ID if name in Image.OPEN]


@contextlib.contextmanager
def _opened(file: Path | io.BytesIO, name: str) -> Iterator[Image.Image]:
    """The opened file; whatever fails meanwhile is one clear line.  Raises: PictureError."""
    if isinstance(file, io.BytesIO):
        file.seek(0)
    try:
        with warnings.catch_warnings():
            # The size is checked by `_check_size`.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=readable_formats()) as opened:
                yield opened
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d{7,}", str(error))
        raise PictureError(
            f"{name}: found {int(pixels[0]) // 10**6 if pixels else 'too many'} megapixels, "
            f"expected at most {MOST_PIXELS // 10**6}; make it smaller first"
        ) from None
    except UnidentifiedImageError:
        raise PictureError(f"{name}: found {nature(_start(file))}") from None
    except PermissionError:
        raise PictureError(
            f"{file}: found no permission to read it; give yourself read permission"
        ) from None
    except MemoryError:
        raise PictureError(
            f"{name}: too large for this machine's memory; make it smaller first"
        ) from None
    except _BROKEN as error:
        raise PictureError(
            f"{name}: found it corrupt or truncated ({error}), expected a complete picture; "
            "get the file again"
        ) from None


def _decoded(
    file: Path | io.BytesIO, opened: Image.Image, name: str, smallest: int, notes: list[str]
) -> Image.Image:
    _check_size(name, opened, smallest, notes)
    if opened.format != "MPO" and getattr(opened, "is_animated", False):
        notes.append(
            f"{name}: animated ({getattr(opened, 'n_frames', 'several')} frames); the first is used"
        )
    opened.seek(0)
    # Asked first: decoding, which a PNG's EXIF data takes, empties the list of tiles.
    tiles = getattr(opened, "tile", []) if opened.format == "PNG" else []
    rawmode = str(tiles[0][3]) if tiles else ""
    turn = _TURNS.get(_orientation(opened))
    if opened.format == "TIFF":
        turn = None  # Pillow turns a TIFF itself as it decodes it
        nameless: Any = opened
        # Pillow maps a file that has a name into memory by the turned size, which tears a grey one.
        nameless.filename = ""
    opened.load()
    image = opened
    if rawmode in _LOW_BYTES and _may_hold_fewer_bits(opened):
        image = _deep_colour(file, opened, rawmode, notes)
    if turn is not None:
        info = image.info
        image = image.transpose(turn)
        image.info = info
    return _shortened(image, notes)


def _orientation(opened: Image.Image, decodes: bool = True) -> int:
    """The EXIF orientation, 1 to 8; damaged EXIF data is ignored.

    decodes: a PNG, if it says nothing before its pixels.
    """
    with contextlib.suppress(*_BROKEN):
        exif = opened.getexif() if decodes else Image.Image.getexif(opened)
        return int(exif.get(_ORIENTATION, 1))
    return 1


def _ends_with_pixels(path: Path) -> bool:
    """True for a whole PNG that says all it says before its pixels."""
    behind = False
    with path.open("rb") as file:
        file.seek(_PNG_SIGNATURE)
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind == b"IEND":
                return behind
            if behind and kind != b"IDAT":
                return False
            behind = kind == b"IDAT"
            file.seek(length + 4, io.SEEK_CUR)
    return False


def _check_size(name: str, opened: Image.Image, smallest: int, notes: list[str]) -> None:
    width, height = opened.size
    if min(width, height) < smallest:
        raise PictureError(
            f"{name}: found {width}x{height} pixels, expected at least {smallest} on each side; "
            "take a larger picture"
        )
    if opened.format in ("JPEG", "MPO") and (
        width * height > MOST_PIXELS or max(width, height) > 2 * LONGEST_SIDE
    ):
        factor = min(
            1.0, LONGEST_SIDE / max(width, height), (MOST_PIXELS / (width * height)) ** 0.5
        )
        opened.draft("RGB", (max(1, int(width * factor)), max(1, int(height * factor))))
        if opened.size != (width, height):
            notes.append(
                f"{name}: read at {opened.width}x{opened.height} instead of {width}x{height}"
            )
    _check_pixels(name, opened.size)


def _check_pixels(name: str, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise PictureError(
            f"{name}: found {size[0]}x{size[1]} pixels, expected at most {MOST_PIXELS // 10**6} "
            "megapixels; make it smaller first"
        )


def _may_hold_fewer_bits(opened: Image.Image) -> bool:
    """True if no colour reaches a quarter of white: then 16 bits may hold 10, 12 or 14."""
    return bool(
        np.asarray(opened.resize((64, 64), Image.Resampling.BOX))[..., :3].max() < 64
        and np.asarray(opened)[..., :3].max() < 64
    )


def _deep_colour(
    file: Path | io.BytesIO, high: Image.Image, rawmode: str, notes: list[str]
) -> Image.Image:
    """A dark PNG of 16 bits per channel, scaled by the bits it really holds.

    Pillow keeps the upper byte of each value.  The lower one is read by telling its decoder that
    the values are stored in the other byte order.

    high: the picture with the upper bytes.
    rawmode: Pillow's, of the file.
    """
    if isinstance(file, io.BytesIO):
        file.seek(0)
    with Image.open(file, formats=["PNG"]) as again:
        tiles: Any = again.tile
        tiles[0] = (*tiles[0][:3], _LOW_BYTES[rawmode])
        again.load()
        values = np.asarray(high, dtype=np.uint16) * 256 + np.asarray(again, dtype=np.uint16)
    white, bits = _white(values[..., :3])
    if bits == 16:
        return high
    notes.append(f"colours of {bits} bits in 16 scaled to 8 bits")
    scaled = np.rint(values[..., :3] * (255.0 / white)).astype(np.uint8)
    out = Image.fromarray(scaled)
    if high.mode == "RGBA":
        out.putalpha(high.getchannel("A"))
    out.info = high.info
    return out


def _shortened(image: Image.Image, notes: list[str]) -> Image.Image:
    """The picture, reduced if it is longer than LONGEST_SIDE."""
    if max(image.size) <= LONGEST_SIDE:
        return image
    if image.mode in ("1", "P", "PA"):  # these cannot be averaged
        image = image.convert(
            "RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB"
        )
    factor = LONGEST_SIDE / max(image.size)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    notes.append(f"reduced from {image.width}x{image.height} to {size[0]}x{size[1]}")
    method = Image.Resampling.NEAREST if image.mode.startswith("I") else Image.Resampling.LANCZOS
    info = image.info
    image = image.resize(
        size, method, reducing_gap=None if method == Image.Resampling.NEAREST else 2.0
    )
    image.info = info
    return image


def to_rgb(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """RGB over white, and the alpha (L) if anything is transparent.

    notes: what was done is appended.
    """
    layer = to_layer(image, notes)
    return over_white(layer), layer.getchannel("A") if layer.mode == "RGBA" else None


def to_layer(image: Image.Image, notes: list[str]) -> Image.Image:
    """RGBA if anything is transparent, with the colours beneath the transparency; else RGB.

    notes: what was done is appended.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _grey_to_8_bits(image, notes).convert("RGB")
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        alpha = coloured.getchannel("A")
        rgb = _to_srgb(coloured.convert("RGB"), profile, notes)
        if alpha.getextrema() != (255, 255):
            rgb.putalpha(alpha)
        return rgb
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    return _to_srgb(image, profile, notes)


def over_white(layer: Image.Image) -> Image.Image:
    """RGB, what is transparent laid over white."""
    if layer.mode != "RGBA":
        return layer
    rgb = layer.convert("RGB")
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), layer.getchannel("A"))


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """RGB by the picture's colour profile, if it has one that works and is not sRGB already."""
    if profile and image.mode in ("RGB", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            name = ImageCms.getProfileDescription(source).strip()
            if "srgb" not in name.lower():
                converted = ImageCms.profileToProfile(
                    image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                if converted is not None:
                    notes.append(f"colours converted from {name or 'its profile'} to sRGB")
                    return converted
    return image.convert("RGB")


def _white(values: NDArray[Any]) -> tuple[int, int]:
    """(the value of white, its bits) of integers stored in 16 bits or more.

    Cameras and scanners store 10, 12 or 14 bits in 16.  A picture that stays below a quarter of
    white is taken for one of those, unless a program widened it from 8 bits, which makes every
    value a multiple of 257.
    """
    high = int(values.max())
    if high >= 1 << 14 or not (values % 257).any():
        return max(high, 65535), 16
    bits = next(bits for bits in (8, 10, 12, 14) if high < 1 << bits)
    return (1 << bits) - 1, bits


def _grey_to_8_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Scale grey values of 16 bits, or of a float picture's own range, to 0–255 unclipped."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low = float(values.min())
    high = float(values.max())
    if image.mode == "F":
        # 0–1 and 0–255 are the two customs; anything else is stretched.
        bottom, top = (
            (0.0, 1.0 if high <= 1 else 255.0) if low >= 0 and high <= 255 else (low, high)
        )
        notes.append("32-bit float grey scaled to 8 bits")
    else:
        white, bits = _white(values.astype(np.int64).clip(min=0))
        bottom = min(low, 0.0)
        top = max(high, float(white))
        notes.append(f"{bits}-bit grey {'in 16 bits ' if bits < 16 else ''}scaled to 8 bits")
    scaled = (values - bottom) * (255.0 / max(top - bottom, 1e-9))
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _start(file: Path | io.BytesIO) -> bytes:
    if isinstance(file, io.BytesIO):
        return file.getvalue()[:512]
    with file.open("rb") as opened:
        return opened.read(512)
