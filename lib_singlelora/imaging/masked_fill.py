"""Filling a masked place with the colours around it, before it is redrawn."""

from __future__ import annotations

from PIL import Image, ImageFilter, ImageOps

# Blur radii in pixels, wide to narrow, and how often each is laid over itself.
LAYERS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2))


def surroundings(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with the masked place filled with the colours around it.

    Each blur carries the kept pixels' colours into the hole; narrow ones lie on top, near the edge.
    Order and radii are those of the WebUI's "fill", so that both hosts start alike.

    mask: L, white is the masked place.
    Source: AUTOMATIC1111 1.10.1, modules/masking.py, fill.
    """
    hole = mask.convert("L").resize(image.size, Image.Resampling.LANCZOS)
    # Premultiplied, so that the hole's own colours do not bleed.
    edge = Image.new("RGBa", image.size)
    edge.paste(image.convert("RGB").convert("RGBA").convert("RGBa"), mask=ImageOps.invert(hole))
    out = Image.new("RGBA", image.size)
    for radius, times in LAYERS:
        layer = edge.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            out.alpha_composite(layer)
    out.alpha_composite(edge.convert("RGBA"))
    return out.convert("RGB")
