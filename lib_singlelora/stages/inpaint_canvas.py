"""Inpainting without the drawing: mask, prompt, and the part of a picture that is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..captions.prompt_language import prompt_of
from ..captions.pruning import CLOTHES, hidden
from ..captions.tag_categories import category_of, plain
from ..crops.buckets import fit_to_bucket, make_buckets, nearest_bucket
from ..crops.views import fit_aspect, overlap
from ..errors import PictureError
from ..files.fileio import write_bytes
from ..imaging.load import load_picture, picture_size
from ..imaging.mask_reader import read_mask
from ..imaging.png import png_bytes
from ..settings.inpaint import InpaintSettings
from ..settings.schema import Settings
from ..workspace.captions import seen_tags
from ..workspace.crops import view_box, view_tags
from ..workspace.workspace import Workspace

Box = tuple[int, int, int, int]
COVERS = 0.6  # share of the masked part that a crop must show to say what is worn there
ALIKE = 0.35  # intersection over union from which on a crop's framing is taken for the drawn part
SOFT = 128  # the edge of a redrawn part is blurred over this fraction of its longer side


@dataclass(frozen=True)
class Canvas:
    """The part of a picture that is drawn.

    image: in a bucket's size.
    hole: its mask, white is redrawn; None where all is redrawn.
    whole: the picture.
    whole_hole: the mask of the whole picture.
    box: where `image` lies in `whole`, pixels; None where the result is the picture itself.
    notes: how the mask was read, where that may not be what was meant.
    """

    image: Image.Image
    hole: Image.Image | None
    whole: Image.Image
    whole_hole: Image.Image | None
    box: Box | None = None
    notes: tuple[str, ...] = ()

    def result(self, drawn: Image.Image) -> Image.Image:
        """The finished picture: what was drawn, pasted into the whole one where there is a box."""
        if self.box is None or self.whole_hole is None:
            return drawn
        size = (self.box[2] - self.box[0], self.box[3] - self.box[1])
        hole = self.whole_hole.crop(self.box)
        soft = hole.filter(ImageFilter.GaussianBlur(max(1, max(size) // SOFT)))
        inside = Image.fromarray(np.minimum(np.asarray(soft), np.asarray(hole)))
        out = self.whole.copy()
        out.paste(drawn.resize(size, Image.Resampling.LANCZOS), self.box[:2], inside)
        return out


def make_canvas(
    picture: Path, mask: Path | None, options: InpaintSettings, resolution: int
) -> Canvas:
    """The canvas for a picture and its mask.

    mask: white is redrawn; None redraws all.
    Raises: PictureError, for a mask of another size or an empty one.
    """
    image = load_picture(picture).image.convert("RGB")
    buckets = make_buckets(resolution)
    if mask is None:
        bucket = nearest_bucket(image.size, buckets)
        return Canvas(fit_to_bucket(image, bucket), None, image, None)
    read = read_mask(mask)
    hole = read.image
    if image.size != hole.size:
        raise PictureError(
            f"{mask.name}: found {hole.width}x{hole.height}, expected the picture's"
            f" {image.width}x{image.height}; paint the mask over the same picture"
        )
    painted = hole.point(lambda value: 255 if value > 8 else 0).getbbox()
    if painted is None:
        raise PictureError(
            f"{mask.name}: found an empty mask, expected some white; paint white what is to be"
            " redrawn"
        )
    box = None
    if options.area == "only masked":
        pad = float(options.padding)
        left, top, right, bottom = painted
        padded = (left - pad, top - pad, right + pad, bottom + pad)
        box = fit_aspect(padded, image.size, buckets)
    part, part_hole = (image.crop(box), hole.crop(box)) if box else (image, hole)
    bucket = nearest_bucket(part.size, buckets)
    return Canvas(
        fit_to_bucket(part, bucket),
        _wide_enough(fit_to_bucket(part_hole, bucket)),
        image,
        hole,
        box,
        read.notes,
    )


def _wide_enough(hole: Image.Image) -> Image.Image:
    """The hole, widened to one latent cell, 8 pixels: a smaller one would vanish."""
    cells = np.asarray(hole.resize((hole.width // 8, hole.height // 8), Image.Resampling.BOX))
    return hole.filter(ImageFilter.MaxFilter(9)) if cells.max() < 128 else hole


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


def region_prompt(
    settings: Settings, workspace: Workspace, mask: Path | None = None, box: Box | None = None
) -> str:
    """The default prompt: trigger, class, framing, and what is worn in the masked part.

    mask: of the prepared picture; None for another picture, or for all of it: then the clothes that
        most crops agree on.
    box: the part of the prepared picture that is drawn; None for another picture, whose framing is
        not known.
    """
    character = settings.character
    clothes = _worn_in(workspace, mask) if mask else _worn(workspace)
    framing = _framing(workspace, box) if box else ()
    tags = (
        character.trigger,
        character.class_token,
        "solo",
        *framing,
        *clothes,
        "looking at viewer",
    )
    return prompt_of(tags)


def _framing(workspace: Workspace, box: Box) -> tuple[str, ...]:
    """The tags of the crop that shows most nearly the same part; none where no crop comes near."""
    views = view_tags(workspace)
    overlaps = {name: overlap(box, view) for name in views if (view := view_box(workspace, name))}
    nearest = max(overlaps, key=lambda name: overlaps[name], default="")
    return views[nearest] if overlaps.get(nearest, 0) >= ALIKE else ()


def _clothes(tags: Iterable[str]) -> list[str]:
    return [tag for tag in map(plain, tags) if category_of(tag) in CLOTHES]


def _worn_in(workspace: Workspace, mask: Path) -> list[str]:
    """The clothes in the smallest crop that shows the masked part, as the taggers saw them."""
    hole = read_mask(mask).image.getbbox()
    seen = seen_tags(workspace)
    if hole is None or not seen:
        return []
    boxes = {name: box for name in seen if (box := view_box(workspace, name))}
    showing = [name for name, box in boxes.items() if _share(hole, box) >= COVERS]
    if not showing:
        return _worn(workspace)
    return _clothes(seen[min(showing, key=lambda name: _area(boxes[name]))])


def _worn(workspace: Workspace) -> list[str]:
    """The clothes in most of the crops that show the head, or in most of all crops."""
    views = view_tags(workspace)
    seen = seen_tags(workspace)
    with_head = [
        name for name in seen if not hidden(views.get(name, ())) & {"hair colour", "hair length"}
    ]
    crops = with_head or list(seen)
    counts = Counter(tag for name in crops for tag in _clothes(seen[name]))
    return [tag for tag, count in counts.items() if 2 * count > len(crops)]


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _share(part: Box, box: Box) -> float:
    """Share of a part that lies in a box."""
    inner = (max(part[0], box[0]), max(part[1], box[1]), min(part[2], box[2]), min(part[3], box[3]))
    return _area(inner) / max(1, _area(part))
