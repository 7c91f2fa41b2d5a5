"""Reader of the stage `crop`: each view's tags, box, symmetry and mask."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..crops.masks import crop_mask
from ..crops.symmetry import Symmetry
from ..errors import PictureError
from ..imaging.load import picture_size
from ..imaging.mask_reader import read_mask
from .workspace import Workspace


def view_tags(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Tags of each view by the stem of its file."""
    views = workspace.record("crop").data.get("views", {})
    return {name: tuple(view["tags"]) for name, view in views.items()}


def view_parts(workspace: Workspace) -> dict[str, dict[str, float]]:
    """Share of each part of the body that a view shows, by the stem of its file.

    {} for a view of which that is not known.
    """
    views = workspace.record("crop").data.get("views", {})
    return {name: dict(view.get("shows", {})) for name, view in views.items()}


def view_box(workspace: Workspace, name: str) -> tuple[int, int, int, int] | None:
    """Box of a view in the prepared picture, pixels (left, top, right, bottom)."""
    view = workspace.record("crop").data.get("views", {}).get(name)
    return (*view["box"],) if view else None


def view_pixels(workspace: Workspace, name: str) -> tuple[int, int] | None:
    """(width, height) of a view in the user's own picture, before that was enlarged."""
    pixels = workspace.record("crop").data.get("views", {}).get(name, {}).get("pixels")
    return (*pixels,) if pixels else None


def view_symmetry(workspace: Workspace, name: str = "") -> Symmetry | None:
    """The symmetry of a view, or without a name of the whole picture; None if not measured yet."""
    data = workspace.record("crop").data
    values = (data.get("views", {}).get(name, {}) if name else data).get("symmetry")
    if not values:
        return None
    return Symmetry(values["score"], values["flip"], tuple(values["differs"]), values["sentence"])


def view_mask(workspace: Workspace, picture: Path) -> Image.Image | None:
    """The mask (L) of a crop, in its size; None for a picture that was not cut from the source.

    Raises: PictureError, when the source's mask or the crop has another size than when it was cut.
    """
    box = view_box(workspace, picture.stem)
    if box is None or not workspace.mask.exists():
        return None
    return crop_mask(read_mask(workspace.mask).image, box, picture_size(picture))


def known_mask(workspace: Workspace, picture: Path) -> Image.Image | None:
    """The mask (L) of a crop; None too for one that was cropped again by hand."""
    try:
        return view_mask(workspace, picture)
    except PictureError:
        return None
