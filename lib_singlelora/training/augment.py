"""Colour augmentation: versions of a picture that the latent cache keeps beside it."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

COLOR_VERSIONS = 4
COLOR_CHANCE = 0.33  # share of the samples that show one of them
MAX_HUE_SHIFT = 8 / 180  # of a full turn
MAX_GAMMA_SHIFT = 0.05


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
