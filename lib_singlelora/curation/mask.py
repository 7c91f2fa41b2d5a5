"""The mask edited by hand: another one takes its place; `prepare` keeps it."""

from __future__ import annotations

from PIL import Image

from ..errors import NotFoundError, PictureError, WorkspaceError
from ..files.fileio import write_bytes
from ..imaging.load import load_picture, stored_size
from ..imaging.mask_reader import painted, read_mask, read_mask_bytes
from ..imaging.png import png_bytes
from ..workspace.workspace import Workspace


def replace_mask(workspace: Workspace, mask: Image.Image) -> None:
    """Take the user's mask in place of the one that was found.

    Raises: WorkspaceError, for one of another size; PictureError, for a picture that is no mask;
        ConflictError, while a job is at work; nothing changes then.
    """
    _check_size(workspace, mask.size)
    data = png_bytes(painted(mask).image)
    with workspace.writing("mask by hand"):
        write_bytes(workspace.mask, data)


def mask_from(workspace: Workspace, data: bytes) -> Image.Image:
    """The mask (L) in the bytes of a file, decoded only if it has the picture's size.

    Raises: PictureError, WorkspaceError.
    """
    try:
        size = stored_size(data, "mask")
        if sorted(size) != sorted(_mask(workspace).size):  # it may lie on its side
            _check_size(workspace, size)
        return read_mask_bytes(data).image
    except PictureError as error:
        raise PictureError(f"found no picture that can be the mask; {error}") from None


def _check_size(workspace: Workspace, size: tuple[int, int]) -> None:
    expected = _mask(workspace).size
    if size != expected:
        raise WorkspaceError(
            f"mask: found {size[0]}x{size[1]}, expected the size of source/prepared.png, "
            f"{expected[0]}x{expected[1]}; draw it over that picture"
        )


def _picture(workspace: Workspace) -> Image.Image:
    if not workspace.prepared.exists() or not workspace.mask.exists():
        raise NotFoundError(
            f"{workspace.root}: found no prepared picture, expected source/prepared.png and"
            " mask.png; call 'prepare' first"
        )
    return load_picture(workspace.prepared).image


def _mask(workspace: Workspace) -> Image.Image:
    size = _picture(workspace).size
    mask = read_mask(workspace.mask).image
    if mask.size != size:
        raise WorkspaceError(
            f"source/mask.png: found {mask.width}x{mask.height}, expected the picture's"
            f" {size[0]}x{size[1]}; fix it, or call 'prepare --force' to make it anew"
        )
    return mask
