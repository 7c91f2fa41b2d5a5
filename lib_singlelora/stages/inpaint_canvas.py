"""The part of a picture that is redrawn, and the way back into the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..crops.buckets import Size, fit_to_bucket, make_buckets, nearest_bucket, square_bucket
from ..crops.views import fit_aspect, lost_to_bucket
from ..errors import PictureError
from ..files.fileio import write_bytes
from ..host import Upscaler
from ..imaging.boxes import PixelBox, box_size
from ..imaging.load import load_layer, over_white, picture_size
from ..imaging.mask_reader import read_mask
from ..imaging.png import png_bytes
from ..settings.inpaint import InpaintSettings
from ..workspace.crops import view_box
from ..workspace.workspace import Workspace

CELL = 8  # pixels of a picture's side that one latent stands for
REACH = 3  # a blurred edge ends after so many times the blur's radius
TOUCHED = 16  # of 255: a latent cell with that much of the mask is redrawn
LOST = 0.01  # share of a part that a bucket may cut off; else the part keeps its own aspect ratio
COARSE = 2.0  # a part that is enlarged more than this looks coarse beside the rest


@dataclass(frozen=True)
class Canvas:
    """A part of a picture, in the size in which it is drawn.

    image: RGB, what is drawn on.
    hole: its mask (L), whole latent cells, white is redrawn; None where all is redrawn.
    whole: the picture that the result goes into: RGB, or RGBA where anything is transparent.
    painted: the mask of the whole picture, as it was painted; None where all is redrawn.
    seam: the painted mask with its edge blurred: how much each pixel takes of what is drawn.
    box: where `image` lies in `whole`, pixels; None where it is all of it.
    notes: how picture and mask were read, where that may not be what was meant.
    """

    image: Image.Image
    hole: Image.Image | None
    whole: Image.Image
    painted: Image.Image | None = None
    seam: Image.Image | None = None
    box: PixelBox | None = None
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> PixelBox:
        """The drawn part, pixels of the whole picture."""
        return self.box or (0, 0, *self.whole.size)

    def result(self, drawn: Image.Image, upscaler: Upscaler | None = None) -> Image.Image:
        """The picture with what was drawn in it; where the seam is black, bit for bit as it was.

        upscaler: enlarges what was drawn, where its place is larger; None is Lanczos.
        """
        if self.seam is None:
            return drawn
        part = _scaled(drawn, box_size(self.shown), upscaler)
        seam = self.seam.crop(self.shown)
        out = self.whole.copy()
        if out.mode != "RGBA":
            out.paste(part, self.shown[:2], seam)
            return out
        # The transparency stays: colours beneath it are such that, over white, they look as drawn.
        below = out.crop(self.shown)
        alpha = below.getchannel("A")
        colours = below.convert("RGB")
        colours.paste(_beneath(part, alpha), (0, 0), seam)
        colours.putalpha(alpha)
        out.paste(colours, self.shown[:2])
        return out


def make_canvas(
    picture: Path,
    mask: Path | None,
    options: InpaintSettings,
    resolution: int,
    squares: bool = False,
    frame: PixelBox | None = None,
) -> Canvas:
    """The canvas for a picture and its mask.

    mask: white is redrawn; None redraws all.
    resolution: the side of the square whose area is drawn.
    squares: the checkpoint draws squares best, so a part is one where the picture has room for it.
    frame: shown at least, where the masked part alone is drawn.
    Raises: PictureError, for a mask of another size or an empty one.
    """
    layer, notes = load_layer(picture)
    buckets = make_buckets(resolution)
    bucket = nearest_bucket(layer.size, buckets)
    if mask is None:
        return Canvas(
            fit_to_bucket(over_white(layer), bucket), None, over_white(layer), notes=notes
        )
    read = read_mask(mask)
    notes += read.notes
    if layer.size != read.image.size:
        raise PictureError(
            f"{mask.name}: found {read.image.width}x{read.image.height}, expected the picture's"
            f" {layer.width}x{layer.height}; paint the mask over the same picture"
        )
    if not _extent(read.image):
        raise PictureError(
            f"{mask.name}: found an empty mask, expected some white; paint white what is to be"
            " redrawn"
        )
    larger = layer.width > bucket[0] or layer.height > bucket[1]
    if options.area == "only masked" or (options.area == "automatic" and larger):
        shapes = [[square_bucket(resolution)], buckets] if squares else [buckets]
        return part_canvas(layer, read.image, options, shapes, notes, frame)
    fitted = fit_to_bucket(read.image, bucket)
    return whole_canvas(fit_to_bucket(layer, bucket), fitted, options, notes)


def whole_canvas(
    layer: Image.Image, painted: Image.Image, options: InpaintSettings, notes: tuple[str, ...] = ()
) -> Canvas:
    """The canvas that shows all of a picture.

    layer: RGB or RGBA, in the size that is drawn.
    painted: L, of its size.
    """
    seam = _blurred(painted, options.mask_blur)
    return Canvas(over_white(layer), _cells(seam), layer, painted, seam, None, notes)


def part_canvas(
    layer: Image.Image,
    painted: Image.Image,
    options: InpaintSettings,
    shapes: list[list[Size]],
    notes: tuple[str, ...] = (),
    frame: PixelBox | None = None,
) -> Canvas:
    """The canvas that shows the masked part alone, at the model's full resolution.

    layer: RGB or RGBA.
    painted: L, of its size, with some white in it.
    shapes: buckets, the first choice first; the part has the aspect ratio of one of the first
        choice that has one which fits into the picture, else its own, in multiples of 8.
    frame: shown at least, however small the padding.
    """
    box, size = _place(painted, options.padding, shapes, frame)
    scale = max(1.0, max(box_size(box)) / max(size))
    blur = options.mask_blur * scale
    if math.ceil(REACH * blur) > options.padding:  # the whole seam must lie in the part
        box, size = _place(painted, math.ceil(REACH * blur), shapes, frame)
        scale = max(1.0, max(box_size(box)) / max(size))
    seam = _blurred(painted, blur)
    if scale > COARSE:
        notes += (
            f"a part of {box_size(box)[0]}x{box_size(box)[1]} pixels was drawn at {size[0]}x"
            f"{size[1]} and enlarged; mask a smaller part for finer detail",
        )
    image = over_white(layer).resize(size, Image.Resampling.LANCZOS, box=box)
    hole = _cells(seam.crop(box).resize(size, Image.Resampling.BOX))
    return Canvas(image, hole, layer, painted, seam, box, notes)


def _place(
    painted: Image.Image, padding: int, shapes: list[list[Size]], frame: PixelBox | None
) -> tuple[PixelBox, Size]:
    """(the box around what is painted and the frame, the size in which it is drawn)."""
    left, top, right, bottom = _extent(painted) or (0, 0, *painted.size)
    padded = (left - padding, top - padding, right + padding, bottom + padding)
    if frame is not None:
        padded = (
            min(padded[0], frame[0]),
            min(padded[1], frame[1]),
            max(padded[2], frame[2]),
            max(padded[3], frame[3]),
        )
    for buckets in shapes:
        box = fit_aspect(padded, painted.size, buckets)
        if lost_to_bucket(box, buckets) <= LOST:
            return box, nearest_bucket(box_size(box), buckets)
    width, height = box_size(box)
    bucket = nearest_bucket((width, height), shapes[-1])
    factor = math.sqrt(bucket[0] * bucket[1] / (width * height))
    sides = (max(CELL, round(side * factor / CELL) * CELL) for side in (width, height))
    return box, (next(sides), next(sides))


def _extent(mask: Image.Image) -> PixelBox | None:
    """The box of what is painted."""
    return mask.point(lambda value: 255 if value > 8 else 0).getbbox()


def _blurred(mask: Image.Image, radius: float) -> Image.Image:
    return mask.filter(ImageFilter.GaussianBlur(radius)) if radius else mask


def _cells(seam: Image.Image) -> Image.Image:
    """The latent cells that a mask touches, white; at least one.

    seam: in the size that is drawn.
    """
    values = np.asarray(seam)
    rows, columns = values.shape[0] // CELL, values.shape[1] // CELL
    most = values.reshape(rows, CELL, columns, CELL).max(axis=(1, 3))
    touched = most >= min(TOUCHED, int(most.max()))
    cells = np.where(touched, 255, 0).astype(np.uint8)
    return Image.fromarray(cells.repeat(CELL, axis=0).repeat(CELL, axis=1))


def _scaled(image: Image.Image, size: Size, upscaler: Upscaler | None) -> Image.Image:
    """The picture in another size."""
    scale = max(size[0] / image.width, size[1] / image.height)
    if upscaler is not None and scale > 1:
        image = upscaler.upscale(image, scale).convert("RGB")
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _beneath(seen: Image.Image, alpha: Image.Image) -> Image.Image:
    """The colours that, with this alpha over white, look like what is seen; as far as there are."""
    share = np.maximum(np.asarray(alpha, dtype=np.float32)[..., None] / 255, 1 / 255)
    colours = 255 - (255 - np.asarray(seen, dtype=np.float32)) / share
    return Image.fromarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))


def default_mask(workspace: Workspace, picture: Path, is_prepared: bool = True) -> Path:
    """inpaint/mask.png over the character's head, made if it does not exist.

    Raises: PictureError, for another picture than the prepared one.
    """
    path = workspace.inpaint / "mask.png"
    if not is_prepared:
        raise PictureError(
            f"{picture}: found no mask for it, expected --mask FILE of the same size (white is"
            " redrawn), or inpaint.redraw='whole picture'"
        )
    if path.exists():
        return path
    size = picture_size(picture)
    box = (
        view_box(workspace, "face")
        or view_box(workspace, "portrait")
        or (size[0] // 4, 0, size[0] * 3 // 4, size[1] // 3)
    )
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    # Also called without a job, when the character is sent to another tab
    with workspace.adding():
        write_bytes(path, png_bytes(mask))
    return path
