"""Versions of a picture that the latent cache keeps beside the picture itself."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

COLOR_VERSIONS = 4
COLOR_CHANCE = 0.33  # share of the samples that show one of them
HUE = 8 / 180  # of a full turn
GAMMA = 0.05


def color_version(image: Image.Image, chance: random.Random) -> Image.Image:
    """The picture with its hue turned by up to ±8 of OpenCV's 180 units, or with a gamma of 0.95 to
    1.05.

    Source: sd-scripts library/train_util.py, AugHelper; its gamma works on 0 to 255 and darkens
    white to 193, ours on 0 to 1.
    """
    if chance.random() < 0.5:
        hue, saturation, value = image.convert("HSV").split()
        turn = round(chance.uniform(-HUE, HUE) * 256)
        turned = Image.fromarray(((np.asarray(hue, np.int16) + turn) % 256).astype(np.uint8))
        return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
    gamma = chance.uniform(1 - GAMMA, 1 + GAMMA)
    return Image.fromarray(
        np.rint((np.asarray(image, np.float32) / 255) ** gamma * 255).astype(np.uint8)
    )
