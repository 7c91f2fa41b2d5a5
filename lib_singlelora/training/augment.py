"""Versions of a picture that the latent cache keeps beside it: other colours, other backgrounds."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from ..captions.tag_categories import category_of
from ..captions.text import join_tags, split_tags
from ..imaging.backdrop import flatten

COLOR_VERSIONS = 4
COLOR_CHANCE = 0.33  # share of the samples that show one of them
MAX_HUE_SHIFT = 8 / 180  # of a full turn
MAX_GAMMA_SHIFT = 0.05
BACKDROP_CHANCE = 0.5  # share of the samples that show the character before another colour
# As danbooru names backgrounds; pale, as most drawings have them
BACKDROPS = {
    "white": (255, 255, 255),
    "grey": (190, 190, 195),
    "blue": (150, 190, 240),
    "green": (160, 215, 160),
    "pink": (250, 190, 210),
    "yellow": (250, 235, 150),
}


def color_version(image: Image.Image, chance: random.Random) -> Image.Image:
    """The picture with its hue shifted or with another gamma, one as often as the other.

    hue: by up to ±8 of OpenCV's 180 units.
    gamma: 0.95 to 1.05.
    Source: sd-scripts library/train_util.py, AugHelper; its gamma works on 0 to 255 and darkens
        white to 193, ours on 0 to 1.
    """
    if chance.random() < 0.5:
        hue, saturation, value = image.convert("HSV").split()
        shift = round(chance.uniform(-MAX_HUE_SHIFT, MAX_HUE_SHIFT) * 256)
        shifted = Image.fromarray(((np.asarray(hue, np.int16) + shift) % 256).astype(np.uint8))
        return Image.merge("HSV", (shifted, saturation, value)).convert("RGB")
    gamma = chance.uniform(1 - MAX_GAMMA_SHIFT, 1 + MAX_GAMMA_SHIFT)
    return Image.fromarray(
        np.rint((np.asarray(image, np.float32) / 255) ** gamma * 255).astype(np.uint8)
    )


def backdrop_version(image: Image.Image, mask: Image.Image, name: str) -> Image.Image:
    """The character before a plain colour.

    mask: L, as large as the picture; 255 is the character.
    name: one of `BACKDROPS`.
    """
    return flatten(image.convert("RGB"), mask, BACKDROPS[name])


def backdrop_caption(caption: str, name: str) -> str:
    """The caption with the colour in the place of what it tells of the background."""
    tags = split_tags(caption)
    places = [index for index, tag in enumerate(tags) if category_of(tag) == "background"]
    at = places[0] if places else len(tags)
    kept = [tag for tag in tags[at:] if category_of(tag) != "background"]
    return join_tags([*tags[:at], f"{name} background", "simple background", *kept])
