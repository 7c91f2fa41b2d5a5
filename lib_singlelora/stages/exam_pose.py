"""The exam on another body: the class in another pose, drawn by the checkpoint, redrawn as the
character by inpainting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from ..crops.buckets import Size
from ..host import ImageRequest, LoraUse
from ..imaging.face_by_colour import find_face
from ..imaging.load import read_rgb
from ..imaging.mask_reader import read_mask
from ..metrics.placewise import fields_of, figure_of, likeness
from ..settings.declare import SEEDS
from ..settings.inpaint import InpaintSettings
from ..tagging.ensemble import Taggers, open_taggers
from ..workspace.workspace import Workspace
from .context import StageContext
from .exam_pictures import Sitting, draw_sittings
from .inpaint_canvas import whole_canvas
from .inpaint_prompt import pose_prompt, turned_away
from .inpaint_request import request_for

POSES = ("arms up", "sitting")
# Of the picture's side, the mask goes so far beyond the figure: room for another outline, such as a
# hat's brim.
AROUND = 0.08
BODIES = 4  # seeds of which the first is taken that shows a whole figure and its face
SEEN = 0.35  # probability from which on a tagger sees the pose
TURNED = 0.5  # probability from which on it sees a figure from behind or from the side


@dataclass(frozen=True)
class PoseRow:
    """One other body.

    body: as the checkpoint drew it.
    sittings: one for each denoising strength.
    """

    pose: str
    body: Image.Image
    denoises: tuple[float, ...]
    sittings: tuple[Sitting, ...]


@dataclass(frozen=True)
class PoseMark:
    """One other body, examined.

    before, likeness: place-by-place likeness of the figure to the source's, 0 to 1, before and at
        each denoising strength.  In another pose even the character itself is not 1.
    pose_kept: intersection over union of the figure's outlines before and after; None where no
        figure was found.
    """

    row: PoseRow
    before: float
    likeness: tuple[float, ...]
    pose_kept: tuple[float | None, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pose": self.row.pose,
            "before": round(self.before, 4),
            "redrawn": [
                {
                    "denoise": denoise,
                    "likeness": round(alike, 4),
                    "pose_kept": None if kept is None else round(kept, 4),
                    "picture": str(sitting.files[0]),
                }
                for denoise, alike, kept, sitting in zip(
                    self.row.denoises, self.likeness, self.pose_kept, self.row.sittings, strict=True
                )
            ],
        }


def untouched_poses(
    context: StageContext, drawing: InpaintSettings, poses: Sequence[str], size: Size
) -> list[Sitting]:
    """A request for each pose, drawn by the checkpoint alone."""
    settings = context.settings
    sittings = []
    for pose in poses:
        prompt = pose_prompt("", settings.character.class_token, settings, context.workspace, pose)
        request = ImageRequest(
            prompt,
            (drawing.seed,),
            *size,
            drawing.negative_prompt,
            drawing.sampler,
            drawing.steps,
            drawing.cfg_scale,
            settings.training.clip_skip,
        )
        sittings.append(Sitting.of(f"another body, {pose}", request, context))
    return sittings


def facing_bodies(
    context: StageContext, poses: Sequence[str], bodies: Sequence[Sitting]
) -> list[Sitting]:
    """For each pose the first of a few seeds whose figure is whole, in that pose, its face shown.

    A figure from behind would get the character's face on the back of its head.  Where none of the
    seeds is right, the first one stays.  Raises: JobCancelled; TaggerError.
    """
    tagger = open_taggers(context.settings.caption, context.host, context.job) if bodies else None
    found = []
    for pose, body in zip(poses, bodies, strict=True):
        first = body.request.seeds[0]
        for index in range(BODIES):
            request = replace(body.request, seeds=((first + index) % SEEDS,))
            tried = Sitting.of(body.title, request, context)
            draw_sittings(context, [tried])
            if _is_fit(tried.pictures()[0], pose, tagger):
                break
        else:
            tried = body
        found.append(tried)
    return found


def _is_fit(body: Image.Image, pose: str, tagger: Taggers | None) -> bool:
    """True for a whole figure in that pose, which shows its face unless the pose hides it."""
    figure = figure_of(body)
    if figure is None or figure[[0, -1]].any() or figure[:, [0, -1]].any():
        return False
    away = turned_away(pose)
    if not away and find_face(body, body_mask(body)) is None:
        return False
    if tagger is None:
        return True
    seen = tagger.tag([body])[0].general
    turned = max(seen.get(tag, 0.0) for tag in ("from behind", "from side"))
    asked = [seen[tag] for tag in (part.strip() for part in pose.split(",")) if tag in seen]
    return (away or turned < TURNED) and all(score >= SEEN for score in asked)


def redrawn_poses(
    context: StageContext,
    drawing: InpaintSettings,
    use: LoraUse,
    poses: Sequence[str],
    denoises: Sequence[float],
    bodies: Sequence[Sitting],
) -> list[PoseRow]:
    """The requests that redraw the bodies, which are drawn already, as the character."""
    settings = context.settings
    character = settings.character
    rows = []
    for pose, body in zip(poses, bodies, strict=True):
        picture = read_rgb(body.files[0])
        prompt = pose_prompt(
            character.trigger, character.class_token, settings, context.workspace, pose
        )
        original = replace(drawing, fill="original")
        canvas = whole_canvas(picture, body_mask(picture), original)
        sittings = []
        for denoise in denoises:
            request = request_for(
                canvas,
                prompt,
                replace(original, denoise=denoise),
                settings.training.clip_skip,
                (use,),
            )
            request = replace(request, seeds=(drawing.seed,))
            sittings.append(Sitting.of(f"{pose} at {denoise:g}", request, context))
        rows.append(PoseRow(pose, picture, tuple(denoises), tuple(sittings)))
    return rows


def body_mask(picture: Image.Image) -> Image.Image:
    """The figure and a margin around it (L); all of the picture where no figure is found."""
    figure = figure_of(picture)
    if figure is None:
        return Image.new("L", picture.size, 255)
    mask = Image.fromarray(np.where(figure, 255, 0).astype(np.uint8))
    reach = max(1, round(AROUND * max(picture.size)))
    return mask.filter(ImageFilter.MaxFilter(2 * reach + 1))


def pose_marks(workspace: Workspace, rows: Sequence[PoseRow]) -> list[PoseMark]:
    """The rows, examined."""
    if not rows:
        return []
    wanted = fields_of(read_rgb(workspace.prepared), read_mask(workspace.mask).image)
    marks = []
    for row in rows:
        drawn = [sitting.pictures()[0] for sitting in row.sittings]
        marks.append(
            PoseMark(
                row,
                likeness(fields_of(row.body), wanted),
                tuple(likeness(fields_of(picture), wanted) for picture in drawn),
                tuple(pose_kept(row.body, picture) for picture in drawn),
            )
        )
    return marks


def pose_kept(before: Image.Image, after: Image.Image) -> float | None:
    """Intersection over union of the figures; None where one is not found."""
    figures = [figure_of(picture) for picture in (before, after)]
    if figures[0] is None or figures[1] is None:
        return None
    union = (figures[0] | figures[1]).sum()
    return float((figures[0] & figures[1]).sum() / max(1, union))
