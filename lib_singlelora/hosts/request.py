"""Checks of an ImageRequest that every host makes."""

from __future__ import annotations

from ..errors import SettingsError
from ..host import ImageRequest

MULTIPLE = 8  # pixels of a picture's side that one latent stands for


def check_steps_and_size(request: ImageRequest) -> None:
    """Refuse a request that no host can draw.

    Raises:
        SettingsError: no steps, or a size that is no multiple of 8.
    """
    if request.steps < 1:
        raise SettingsError(f"steps: found {request.steps}, expected at least 1")
    width = request.width
    height = request.height
    if width % MULTIPLE or height % MULTIPLE or min(width, height) < MULTIPLE:
        raise SettingsError(f"size: found {width}x{height}, expected multiples of {MULTIPLE}")
