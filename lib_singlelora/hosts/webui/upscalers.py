"""The WebUI's upscalers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modules import shared
from PIL import Image

from ...host import Upscaler


class WebUIUpscaler:
    """One of the WebUI's upscalers."""

    def __init__(self, upscaler: object) -> None:
        self._upscaler = upscaler
        self.name = str(getattr(upscaler, "name", ""))

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        """The picture enlarged by scale (> 1)."""
        inner = self._upscaler.scaler  # type: ignore[attr-defined]
        made: Image.Image = inner.upscale(image, scale, self._upscaler.data_path)  # type: ignore[attr-defined]
        size = (round(image.width * scale), round(image.height * scale))
        return made if made.size == size else made.resize(size, Image.Resampling.LANCZOS)


def upscalers() -> Sequence[Upscaler]:
    """The one chosen in the settings page, those whose model is on the disk, Lanczos, then what
    would have to be fetched.
    """
    preferred = shared.opts.data.get("singlelora_upscaler", "")

    def place(upscaler: object) -> int:
        name, path = getattr(upscaler, "name", ""), str(getattr(upscaler, "data_path", None) or "")
        if name == preferred:
            return 0
        return 1 if path and Path(path).is_file() else 2 if name == "Lanczos" else 3 if path else 4

    found = [
        upscaler for upscaler in shared.sd_upscalers if upscaler.name and upscaler.name != "None"
    ]
    return [WebUIUpscaler(upscaler) for upscaler in sorted(found, key=place)]
