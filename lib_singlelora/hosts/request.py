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


def require_own_prediction(request: ImageRequest) -> None:
    """Refuse a prediction other than the program's own, which draws by what it has read itself.

    Raises:
        SettingsError: the settings say that the checkpoint predicts something else.
    """
    if request.prediction is not None:
        raise SettingsError(
            f"training.prediction={request.prediction}: found a checkpoint that this program draws"
            " with as the other kind, expected both alike, or its pictures are noise; set it to"
            " auto, or write the .yaml that says v-prediction beside the file (`vconfig FILE`)"
        )
