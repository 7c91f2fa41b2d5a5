"""The parts of inpainting that need no drawing: mask, prompt, and the part of a large picture that
is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..captions.atlas import category_of, plain
from ..captions.prompt_language import prompt_of
from ..captions.pruning import CLOTHES, hidden
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
COVERS = 0.6  # of the masked part: a crop that shows this much of it tells what she wears there
ALIKE = 0.35  # intersection over union from which on a crop's framing is said of the drawn part
SOFT = 128  # a redrawn part's edge is this share of its longer side soft


@dataclass(frozen=True)
class Canvas:
    """What is drawn of a picture.  image, hole: in a bucket's size; hole is None where all is
    redrawn.

    box: where it lies in `whole`, pixels; None where the result is the picture itself.
    notes: how the mask was read, where that may not be what was meant.
    """

    image: Image.Image
    hole: Image.Image | None
    whole: Image.Image
    whole_hole: Image.Image | None
    box: Box | None = None
    notes: tuple[str, ...] = ()

    def result(self, drawn: Image.Image) -> Image.Image:
        """The finished picture: what was drawn, or the whole one with it in its place."""
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
    """What is to be drawn.  mask: white is redrawn; None redraws all.

    Raises: PictureError, for a mask of another size or an empty one.
    """
    image, buckets = load_picture(picture).image.convert("RGB"), make_buckets(resolution)
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
    seen = hole.point(lambda value: 255 if value > 8 else 0).getbbox()
    if seen is None:
        raise PictureError(
            f"{mask.name}: found an empty mask, expected some white; paint white what is to be"
            " redrawn"
        )
    box = None
    if options.area == "only masked":
        pad = options.padding
        wanted = (seen[0] - pad, seen[1] - pad, seen[2] + pad, seen[3] + pad)
        box = fit_aspect(
            (float(wanted[0]), float(wanted[1]), float(wanted[2]), float(wanted[3])),
            image.size,
            buckets,
        )
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
    """A hole smaller than one latent cell would vanish in the latents; it is widened to one."""
    cells = np.asarray(hole.resize((hole.width // 8, hole.height // 8), Image.Resampling.BOX))
    return hole.filter(ImageFilter.MaxFilter(9)) if cells.max() < 128 else hole


def default_mask(workspace: Workspace, picture: Path, own_picture: bool = True) -> Path:
    """inpaint/mask.png over her head, made if it is not there.

    Raises: PictureError, for another picture than the prepared.
    """
    path = workspace.inpaint / "mask.png"
    if not own_picture:
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
    # Also asked for without a job, by whoever hands her over to another tab
    with workspace.adding():
        write_bytes(path, png_bytes(mask))
    return path


def region_prompt(
    settings: Settings, workspace: Workspace, mask: Path | None = None, box: Box | None = None
) -> str:
    """What is drawn when nothing else is asked for: trigger, class, framing, what she wears in the
    masked part.

    mask: of the prepared picture; None for another picture, or for all of it: then what most crops
        that could show it agree on.
    box: the part of the prepared picture that is drawn; None for another picture, whose framing
        nobody knows.
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
    likeness = {
        name: overlap(box, own)
        for name in view_tags(workspace)
        if (own := view_box(workspace, name))
    }
    name = max(likeness, key=lambda each: likeness[each], default="")
    return view_tags(workspace)[name] if likeness.get(name, 0) >= ALIKE else ()


def _clothes(tags: Iterable[str]) -> list[str]:
    return [tag for tag in map(plain, tags) if category_of(tag) in CLOTHES]


def _worn_in(workspace: Workspace, mask: Path) -> list[str]:
    """What the taggers saw her wear in the smallest crop that shows the masked part."""
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
    """What most of the crops that could show it agree on."""
    views, seen = view_tags(workspace), seen_tags(workspace)
    whole = [
        name for name in seen if not hidden(views.get(name, ())) & {"hair colour", "hair length"}
    ] or list(seen)
    counts: dict[str, int] = {}
    for name in whole:
        for tag in _clothes(seen[name]):
            counts[tag] = counts.get(tag, 0) + 1
    return [tag for tag, count in counts.items() if 2 * count > len(whole)]


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _share(part: Box, box: Box) -> float:
    """Share of a part that lies in a box."""
    inner = (max(part[0], box[0]), max(part[1], box[1]), min(part[2], box[2]), min(part[3], box[3]))
    return _area(inner) / max(1, _area(part))
