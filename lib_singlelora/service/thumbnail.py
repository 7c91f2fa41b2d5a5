"""Small copies of a workspace's pictures, for lists of them."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

from ..errors import NotFoundError
from .service import Service

SIDES = (96, 256, 512)  # pixels of the long side that may be asked for


def thumbnail(service: Service, name: str, relative: str = "", side: int = 96) -> bytes:
    """A picture of a workspace as a small JPEG; without a name the character's.

    side: of its long side at most, pixels; the next of SIDES.
    Raises: NotFoundError, for no such picture; PictureError.
    """
    if relative:
        path = service.file(name, relative)
    else:
        workspace = service.workspace(name)
        original = workspace.original()
        found = workspace.prepared if workspace.prepared.exists() else original
        if found is None:
            raise NotFoundError(f"{name}: found no picture in it, expected one; start it anew")
        path = found
    side = next((each for each in SIDES if each >= side), SIDES[-1])
    return _small(path, path.stat().st_mtime_ns, side)


@lru_cache(maxsize=512)
def _small(path: Path, changed: int, side: int) -> bytes:
    from ..imaging.load import read_rgb

    image = read_rgb(path)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
