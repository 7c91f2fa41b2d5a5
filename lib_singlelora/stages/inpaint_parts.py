"""The parts that `inpaint.parts` names: a mask for each, or another body to redraw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..crops.buckets import make_buckets, square_bucket
from ..crops.parts import Part, find_part, propose_parts
from ..errors import SettingsError
from ..files.fileio import write_bytes
from ..imaging.boxes import PixelBox, box_size
from ..imaging.face_by_colour import find_face
from ..imaging.load import load_layer, over_white, read_rgb
from ..imaging.mask_reader import read_mask
from ..imaging.png import png_bytes
from ..settings.inpaint import InpaintSettings
from ..workspace.crops import view_box, view_tags
from ..workspace.workspace import Workspace
from .context import StageContext
from .exam_pose import body_mask, facing_bodies, untouched_poses
from .inpaint_prompt import pose_prompt, shared
from .inpaint_request import drawn_at

ANOTHER_POSE = "another pose"
SHOWN = 0.9  # share of a part that a crop must show to be its frame
LARGE = 0.08  # share of its frame that a part must have; smaller ones are drawn too coarsely in it


@dataclass(frozen=True)
class Asked:
    """One part that is to be redrawn.

    mask: None where all of the picture is redrawn.
    prompt: '' for the one that is set or made from the part.
    frame: what is shown at least; None where the mask and its padding say it.
    """

    picture: Path
    mask: Path | None
    prompt: str = ""
    frame: PixelBox | None = None


def parts_to_redraw(context: StageContext, options: InpaintSettings) -> list[Asked]:
    """Each of `inpaint.parts`; the masks are written to inpaint/parts/.

    A mask that the user changed stays.  For "another pose" the checkpoint draws the class first, in
    the pose of `inpaint.pose`.
    Raises: PictureError; SettingsError, for a part that the picture does not show; JobCancelled.
    """
    workspace = context.workspace
    names = options.parts
    resolution, _ = drawn_at(context.settings, context.host)
    parts = source_parts(workspace, resolution) if set(names) != {ANOTHER_POSE} else []
    asked: list[Asked] = []
    for name in names:
        if name.strip().lower() == ANOTHER_POSE:
            asked.append(_another_body(context, resolution))
            continue
        part = find_part(parts, name)
        if part is None:
            known = ", ".join([*(each.name for each in parts), ANOTHER_POSE])
            raise SettingsError(f"inpaint.parts: found {name!r}, expected some of {known}")
        path = workspace.inpaint / "parts" / f"{part.name.replace(' ', '_')}.png"
        if not path.exists():
            write_bytes(path, png_bytes(part.mask))
        hole = read_mask(path).image.getbbox() or (0, 0, *part.mask.size)
        asked.append(Asked(workspace.prepared, path, "", frame_of(workspace, hole)))
    return asked


def frame_of(workspace: Workspace, hole: PixelBox) -> PixelBox | None:
    """The box of the smallest crop that shows a part; None where none does.

    The LoRA has learned the part in the place and size that it has in the crop; in another frame
    it draws all that the crop shows, small, into the part.

    hole: the part, pixels of the prepared picture.
    """
    boxes = [box for name in view_tags(workspace) if (box := view_box(workspace, name))]
    fitting = [
        box for box in boxes if shared(hole, box) >= SHOWN and _area(hole) >= LARGE * _area(box)
    ]
    return min(fitting, key=_area, default=None)


def _area(box: PixelBox) -> int:
    width, height = box_size(box)
    return width * height


def source_parts(workspace: Workspace, resolution: int) -> list[Part]:
    """The parts of the prepared picture.  Raises: PictureError."""
    image = over_white(load_layer(workspace.prepared)[0])
    figure = read_mask(workspace.mask).image
    face = find_face(image, figure)
    return propose_parts(figure, image, face, buckets=make_buckets(resolution))


def _another_body(context: StageContext, resolution: int) -> Asked:
    """A picture of the class in another pose, drawn by the checkpoint, and its mask."""
    settings = context.settings
    workspace = context.workspace
    character = settings.character
    pose = settings.inpaint.pose
    bodies = untouched_poses(context, settings.inpaint, (pose,), square_bucket(resolution))
    [body] = facing_bodies(context, (pose,), bodies)
    picture = body.files[0]
    mask = workspace.inpaint / "parts" / f"{picture.stem}-mask.png"
    if not mask.exists():
        write_bytes(mask, png_bytes(body_mask(read_rgb(picture))))
    prompt = pose_prompt(character.trigger, character.class_token, settings, workspace, pose)
    return Asked(picture, mask, prompt)
