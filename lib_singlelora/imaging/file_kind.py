"""The kind of a file that is no readable picture, by its first bytes."""

from __future__ import annotations

import contextlib

import PIL

# What a file begins with, what it is then, and what to do.
SAVE = "open it in a picture program and save it as PNG"
KINDS = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL picture, which is not supported"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture, which is not supported"),
    (b"II*\0", "a TIFF or raw picture of a kind that is not supported"),
    (b"\x1aE\xdf\xa3", "a film"),
    (b"RIFF", "a film or sound"),
)


def nature(start: bytes) -> str:
    """What an unreadable file looks like, what was expected and what to do: the end of an error.

    start: its first 512 bytes.
    """
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis"):
        # The newest plugin for Pillow below 11.3 that takes the WebUI's Pillow.
        return (
            f"an AVIF picture, which Pillow {PIL.__version__} cannot read, expected another "
            "format or Pillow 11.3; save it as PNG, or in the WebUI run python -m pip install "
            "pillow-avif-plugin"
        )
    return f"{_kind(start)}, expected a picture (PNG, JPEG, WebP, …); {SAVE}"


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        heic = start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
        return "a HEIC picture, which is not supported" if heic else "a film"
    for magic, name in KINDS:
        if start.startswith(magic):
            return name
    if b"\0" not in start:
        with contextlib.suppress(UnicodeDecodeError):
            return "an SVG drawing" if "<svg" in start.decode("utf-8") else "text"
    return "unknown data"
