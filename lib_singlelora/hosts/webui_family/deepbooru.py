"""The WebUI's DeepDanbooru, as a second opinion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from modules import deepbooru, devices, images
from PIL import Image

from ...errors import TaggerError

RESIZE_AND_FILL = 2  # the WebUI's number of this resize mode
INPUT_SIZE = 512  # pixels


class Deepbooru:
    """The model behind *Interrogate DeepBooru*; the WebUI downloads it (0.6 GB) when missing.

    The WebUI's own function cuts at a threshold, filters and escapes by settings made for prompts,
    so the probabilities are read from the model.
    """

    name = "deepbooru"

    def tag(self, pictures: Sequence[Image.Image]) -> list[dict[str, float]]:
        """Probability of each tag (underscores, ratings as `rating:safe`), for each picture.

        Raises:
            TaggerError: the WebUI cannot load the model.
        """
        model = deepbooru.model
        try:
            model.start()
        except Exception as error:  # no network, half a download, too little memory
            raise TaggerError(
                f"deepbooru: the WebUI could not load it ({type(error).__name__}: {error}); press"
                " Interrogate DeepBooru in img2img once, or take it out of caption.tagger"
            ) from error
        try:
            return [self._probabilities(picture) for picture in pictures]
        finally:
            model.stop()

    def _probabilities(self, picture: Image.Image) -> dict[str, float]:
        model = deepbooru.model.model
        square = images.resize_image(
            RESIZE_AND_FILL, picture.convert("RGB"), INPUT_SIZE, INPUT_SIZE
        )
        pixels = torch.from_numpy(np.asarray(square, dtype=np.float32)[None] / 255)
        with torch.no_grad(), devices.autocast():
            scores = model(pixels.to(devices.device, devices.dtype))[0].float().cpu().tolist()
        return dict(zip(model.tags, scores, strict=True))
