"""PNG files as bytes."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..files.fileio import write_bytes
from ..host import GeneratedImage


def png_bytes(image: Image.Image, parameters: str = "") -> bytes:
    """The picture as PNG.

    parameters: the generation parameters, where the WebUI's PNG Info reads them.
    """
    text = PngInfo()
    if parameters:
        text.add_text("parameters", parameters)
    data = io.BytesIO()
    # By runs: a long search for repetitions takes twice the time, and drawings have few of them
    # beyond plain stretches (benchmarks/README.md)
    image.save(data, "PNG", pnginfo=text, compress_type=zlib.Z_RLE)
    return data.getvalue()


def save_picture(path: Path, picture: GeneratedImage) -> None:
    """Write a PNG with the generation parameters, where the WebUI's PNG Info reads them."""
    write_bytes(path, png_bytes(picture.image, picture.parameters))
