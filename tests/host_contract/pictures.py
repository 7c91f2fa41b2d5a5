"""A short request, and its picture as an array."""

import numpy as np
from PIL import Image

from lib_singlelora.host import Host, ImageRequest
from lib_singlelora.jobs import Job

REQUEST = ImageRequest("a girl, blonde hair", (1,), 64, 64, steps=4)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.int16)


def draw(host: Host, request: ImageRequest = REQUEST) -> np.ndarray:
    return pixels(host.generate(request, Job())[0].image)
