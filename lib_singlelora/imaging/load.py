"""Reading pictures of any kind: upright, 8-bit RGB, transparency apart."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..errors import PictureError

# What a user may bring; the rest of Pillow's formats are documents, icons and things that call other programs.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA")
SMALLEST = 32
MOST_PIXELS = 100_000_000
LONGEST_SIDE = 8192
_ORIENTATION = 0x0112
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, struct.error)


@dataclass(frozen=True)
class Picture:
    """A picture as the rest of the program wants it.

    image: RGB, transparency laid over white.  alpha: L (255 opaque), or None when nothing is transparent.
    notes: what was done to it that the user may want to know.
    """

    image: Image.Image
    alpha: Image.Image | None = None
    notes: tuple[str, ...] = field(default=())


def load_picture(path: Path, smallest: int = SMALLEST) -> Picture:
    """The picture in a file, turned as its camera says, of any mode and bit depth.

    Memory stays bounded: the size is read from the header first, over MOST_PIXELS is refused (a JPEG is decoded at a
    fraction instead), and what is longer than LONGEST_SIDE is reduced to it.

    smallest: pixels that the shorter side must have.
    Raises: PictureError.
    """
    if not path.is_file():
        raise PictureError(f"{path}: found {'a folder' if path.is_dir() else 'no such file'}, expected a picture; "
                           "check the path")
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # The size is checked below.
            Image.init()
            with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
                _check_size(path, opened, smallest, notes)
                if opened.format != "MPO" and getattr(opened, "is_animated", False):
                    notes.append(f"{path.name}: animated ({getattr(opened, 'n_frames', 'several')} frames); the first is used")
                opened.seek(0)
                image, alpha = _to_rgb(_shortened(_upright(opened), notes), notes)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            pixels = re.search(r"\d{7,}", str(error))
            raise PictureError(f"{path.name}: found {int(pixels[0]) // 10**6 if pixels else 'too many'} megapixels, "
                               f"expected at most {MOST_PIXELS // 10**6}; make it smaller first") from None
        raise PictureError(f"{path.name}: found {_nature(path)}, expected a picture (PNG, JPEG, WebP, …); "
                           "open it in a picture program and save it as PNG") from None
    except PictureError:
        raise
    except PermissionError:
        raise PictureError(f"{path}: may not be read; give yourself the permission to read it") from None
    except MemoryError:
        raise PictureError(f"{path.name}: too large for this machine's memory; make it smaller first") from None
    except _BROKEN as error:
        raise PictureError(f"{path.name}: found it broken or cut short ({error}), expected a whole picture; "
                           "get the file again") from None
    if alpha is not None and alpha.getextrema() == (0, 0):
        raise PictureError(f"{path.name}: found only transparency, expected something to be seen; "
                           "choose another picture")
    return Picture(image, alpha, tuple(notes))


def _check_size(path: Path, opened: Image.Image, smallest: int, notes: list[str]) -> None:
    width, height = opened.size
    if min(width, height) < smallest:
        raise PictureError(f"{path.name}: found {width}x{height} pixels, expected at least {smallest} on each side; "
                           "take a larger picture")
    if opened.format in ("JPEG", "MPO") and (width * height > MOST_PIXELS or max(width, height) > 2 * LONGEST_SIDE):
        factor = min(1.0, LONGEST_SIDE / max(width, height), (MOST_PIXELS / (width * height)) ** 0.5)
        opened.draft("RGB", (max(1, int(width * factor)), max(1, int(height * factor))))
        if opened.size != (width, height):
            notes.append(f"{path.name}: read at {opened.width}x{opened.height} instead of {width}x{height}")
    if opened.width * opened.height > MOST_PIXELS:
        raise PictureError(f"{path.name}: found {width}x{height} pixels, expected at most {MOST_PIXELS // 10**6} "
                           "megapixels; make it smaller first")


def _upright(opened: Image.Image) -> Image.Image:
    """The decoded picture, turned by its EXIF orientation; damaged EXIF data is ignored."""
    opened.load()
    with contextlib.suppress(*_BROKEN):
        if opened.getexif().get(_ORIENTATION, 1) != 1:  # Otherwise exif_transpose copies a picture that may be large.
            return ImageOps.exif_transpose(opened) or opened
    return opened


def _shortened(image: Image.Image, notes: list[str]) -> Image.Image:
    if max(image.size) <= LONGEST_SIDE:
        return image
    if image.mode in ("1", "P", "PA"):  # These cannot be averaged.
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    factor = LONGEST_SIDE / max(image.size)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    notes.append(f"reduced from {image.width}x{image.height} to {size[0]}x{size[1]}")
    method = Image.Resampling.NEAREST if image.mode.startswith("I") else Image.Resampling.LANCZOS
    info = image.info
    image = image.resize(size, method, reducing_gap=None if method == Image.Resampling.NEAREST else 2.0)
    image.info = info
    return image


def _to_rgb(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """RGB over white, and the alpha (L) if anything is transparent."""
    if image.mode.startswith("I") or image.mode == "F":
        notes.append(f"{'32-bit float' if image.mode == 'F' else '16-bit'} grey scaled to 8 bits")
        return _grey_to_8_bits(image).convert("RGB"), None
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        alpha = coloured.getchannel("A")
        rgb = _to_srgb(coloured.convert("RGB"), profile, notes)
        if alpha.getextrema() == (255, 255):
            return rgb, None
        return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha), alpha
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    return _to_srgb(image, profile, notes), None


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """RGB by the picture's colour profile, if it has one that works and is not sRGB already."""
    if profile and image.mode in ("RGB", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            name = ImageCms.getProfileDescription(source).strip()
            if "srgb" not in name.lower():
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if converted is not None:
                    notes.append(f"colours converted from {name or 'its profile'} to sRGB")
                    return converted
    return image.convert("RGB")


def _grey_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale grey values of 16 bits, or of a float picture's own range, to 0–255 without clipping."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        # 0–1 and 0–255 are the two customs; anything else is stretched.
        bottom, top = (0.0, 1.0 if high <= 1 else 255.0) if low >= 0 and high <= 255 else (low, high)
    else:
        bottom, top = min(low, 0.0), max(high, 65535.0)
    scaled = (values - bottom) * (255.0 / max(top - bottom, 1e-9))
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _nature(path: Path) -> str:
    """What a file that is no picture looks like."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "a HEIC picture, which is not supported"
    for magic, name in ((b"%PDF", "a PDF"), (b"PK\x03\x04", "a ZIP archive"), (b"8BPS", "a Photoshop file")):
        if start.startswith(magic):
            return name
    if b"\0" not in start:
        with contextlib.suppress(UnicodeDecodeError):
            return "an SVG drawing" if "<svg" in start.decode("utf-8") else "text"
    return "unknown data"
