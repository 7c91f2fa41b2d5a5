"""The WebUI's upscalers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules import shared
from PIL import Image

from ...host import Upscaler

if TYPE_CHECKING:
    from modules.upscaler import UpscalerData


class WebUIUpscaler:
    """An Upscaler on one of the WebUI's."""

    def __init__(self, data: UpscalerData) -> None:
        self._data = data
        self.name = str(data.name)

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        """The picture enlarged by scale (> 1)."""
        # The WebUI rounds sizes down to multiples of 8.
        enlarged = self._data.scaler.upscale(image, scale, self._data.data_path)
        size = (round(image.width * scale), round(image.height * scale))
        if enlarged.size == size:
            return enlarged
        return enlarged.resize(size, Image.Resampling.LANCZOS)


def upscalers() -> Sequence[Upscaler]:
    """The WebUI's upscalers, best first.

    The one chosen on the settings page, those whose model is on the disk, Lanczos, then those
    whose model would have to be downloaded.
    """
    preferred = shared.opts.data.get("singlelora_upscaler", "")

    def rank(data: UpscalerData) -> int:
        path = str(data.data_path or "")
        if data.name == preferred:
            return 0
        if path and Path(path).is_file():
            return 1
        if data.name == "Lanczos":
            return 2
        return 3 if path else 4

    known = [data for data in shared.sd_upscalers if data.name and data.name != "None"]
    return [WebUIUpscaler(data) for data in sorted(known, key=rank)]
