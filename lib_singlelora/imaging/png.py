"""PNG files as bytes."""

from __future__ import annotations

import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def png_bytes(image: Image.Image, parameters: str = "") -> bytes:
    """The picture as PNG; parameters: text that the WebUI's PNG Info reads."""
    text = PngInfo()
    if parameters:
        text.add_text("parameters", parameters)
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=text)
    return data.getvalue()
