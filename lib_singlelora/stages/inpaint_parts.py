"""The parts that `inpaint.parts` names: a mask for each, or another body to redraw."""

from __future__ import annotations

from pathlib import Path

from ..crops.buckets import make_buckets, square_bucket
from ..crops.parts import Part, find_part, propose_parts
from ..errors import SettingsError
from ..files.fileio import write_bytes
from ..imaging.face_by_colour import find_face
from ..imaging.load import load_layer, over_white, read_rgb
from ..imaging.mask_reader import read_mask
from ..imaging.png import png_bytes
from ..workspace.workspace import Workspace
from .context import StageContext
from .exam_drawing import draw_sittings
from .exam_pose import body_mask, untouched_poses
from .inpaint_prompt import pose_prompt
from .inpaint_request import drawn_at

ANOTHER_POSE = "another pose"
Asked = tuple[Path, Path | None, str]  # picture, mask, prompt or ''


def parts_to_redraw(context: StageContext, names: tuple[str, ...]) -> list[Asked]:
    """Picture and mask of each named part; the masks are written to inpaint/parts/.

    A mask that the user changed stays.  For "another pose" the checkpoint draws the class first, in
    the pose of `inpaint.pose`.
    Raises: PictureError; SettingsError, for a part that the picture does not show; JobCancelled.
    """
    workspace = context.workspace
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
        asked.append((workspace.prepared, path, ""))
    return asked


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
    [body] = untouched_poses(context, settings.inpaint, (pose,), square_bucket(resolution))
    draw_sittings(context, [body])
    picture = body.files[0]
    mask = workspace.inpaint / "parts" / f"{picture.stem}-mask.png"
    if not mask.exists():
        write_bytes(mask, png_bytes(body_mask(read_rgb(picture))))
    prompt = pose_prompt(character.trigger, character.class_token, settings, workspace, pose)
    return picture, mask, prompt
