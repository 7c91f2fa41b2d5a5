"""The WebUI's DeepDanbooru, as a second opinion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from modules import deepbooru, devices, images
from PIL import Image

from ...errors import TaggerError

RESIZE_AND_FILL, SIDE = 2, 512


class Deepbooru:
    """The model that *Interrogate DeepBooru* uses; the WebUI downloads it (0.6 GB) where it is not
    there.

    The WebUI's own function cuts at a threshold, filters and escapes by settings made for prompts,
    so the probabilities are read from the model.
    """

    name = "deepbooru"

    def tag(self, pictures: Sequence[Image.Image]) -> list[dict[str, float]]:
        """Probability of each tag (underscores, ratings as `rating:safe`), for each picture.

        Raises: TaggerError.
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
            return [self._one(image) for image in pictures]
        finally:
            model.stop()

    def _one(self, image: Image.Image) -> dict[str, float]:
        model = deepbooru.model.model
        square = images.resize_image(RESIZE_AND_FILL, image.convert("RGB"), SIDE, SIDE)
        pixels = torch.from_numpy(np.asarray(square, dtype=np.float32)[None] / 255)
        with torch.no_grad(), devices.autocast():
            scores = model(pixels.to(devices.device, devices.dtype))[0].float().cpu().tolist()
        return dict(zip(model.tags, scores, strict=True))
