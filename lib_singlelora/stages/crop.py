"""Crop: named views of the prepared picture, in kohya's folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..crops.buckets import training_buckets
from ..crops.coverage import coverage, coverage_picture, figures, moved, proposed_repeats, sentences
from ..crops.details import propose_details
from ..crops.symmetry import compare_sides
from ..crops.views import FRAMINGS, View, plain_border, propose_views
from ..errors import NotFoundError, SettingsError, WorkspaceError
from ..files.fileio import file_hash, fingerprint
from ..host import Host
from ..imaging.face_by_colour import find_face
from ..imaging.face_detector import Detector, face_of, photographed_face
from ..imaging.figure_count import check_figure
from ..imaging.load import load_picture
from ..imaging.mask_reader import read_mask
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..settings.schema import Settings
from ..workspace.kohya_folders import ignored_files, list_pictures
from ..workspace.resume import begin, finish
from ..workspace.workspace import Workspace


@dataclass(frozen=True)
class CropResult:
    """crops: the pictures that are there now, the user's own included.  notes: what a person should
    know of them.

    repeats: how often an epoch should show each, as far as the crops tell.
    """

    crops: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    repeats: int = 0


def crop(
    settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False
) -> CropResult:
    """Cut the views.

    Raises: WorkspaceError, when nothing is prepared; SettingsError, for a view that there is not.
    """
    if not workspace.prepared.exists() or not workspace.mask.exists():
        raise NotFoundError(
            f"{workspace.root}: found no prepared picture, expected source/prepared.png and"
            " mask.png; call 'prepare' first"
        )
    folder = workspace.image_folder(settings)
    buckets = training_buckets(settings, host)
    inputs = [file_hash(workspace.prepared), file_hash(workspace.mask)]
    mark = fingerprint(vars(settings.crop), buckets, settings.training.repeats, inputs)
    record, done = begin(workspace, "crop", mark, force)
    if not done:
        image, foreground = load_picture(workspace.prepared).image, read_mask(workspace.mask).image
        if image.size != foreground.size:
            raise WorkspaceError(
                f"source/mask.png: found {foreground.size}, expected the picture's {image.size}; "
                "mend it, or call 'prepare --force'"
            )
        check_figure(foreground)
        seen = _face(settings, image)
        proposed = propose_views(foreground, buckets, image, face=seen)
        if settings.crop.details:
            face = seen or find_face(image, foreground)
            proposed += propose_details(foreground, buckets, image, face, settings.crop.details)
        proposed = moved(proposed, settings.crop.boxes, image.size)
        views = _wanted(proposed, settings.crop.views)
        made = []
        for index, view in enumerate(views):
            job.raise_if_cancelled()
            path = folder / f"{view.name}.png"
            piece = image.crop(view.box)
            workspace.write_unless_edited(record, path, png_bytes(piece), force)
            made.append(path)
            workspace.save_record(record)
            job.report(
                Progress(
                    "crop",
                    index + 1,
                    len(views),
                    f"{view.name}: {piece.width}x{piece.height}",
                    pictures=(path,),
                )
            )
        sides = compare_sides(image, foreground)
        record.data["symmetry"] = sides.of().as_dict()
        scale = max(image.size) / _given_side(workspace, image)
        shown = {view.name: figures(view, scale, buckets) for view in views}
        record.data["views"] = {
            v.name: {
                "box": list(v.box),
                "tags": list(v.tags),
                "confidence": v.confidence,
                "symmetry": sides.of(v.box).as_dict(),
                **asdict(shown[v.name]),
            }
            for v in views
        }
        counts, solid = (
            coverage(image.size, [view.box for view in views]),
            np.asarray(foreground) > 127,
        )
        proposal = proposed_repeats(counts, solid, len(views))
        record.data["repeats"] = proposal
        mirrored = [view.name for view in views if sides.of(view.box).flip]
        told = (
            f"the same from both sides, thus mirrored in training: {', '.join(mirrored)}"
            " (training.flip_symmetric)"
        )
        record.data["notes"] = [
            *_missing(views, settings),
            *_photograph(image, seen),
            *[told] * bool(mirrored),
            *sentences(shown, counts, solid, settings.training.repeats, proposal),
        ]
        workspace.write_unless_edited(
            record, workspace.coverage, png_bytes(coverage_picture(image, counts)), True
        )
        finish(workspace, record, [*made, workspace.coverage])
    crops = tuple(list_pictures(folder))
    if not crops:
        raise NotFoundError(
            f"{folder}: found no pictures, expected the crops; call 'crop --force' to cut them"
            " again"
        )
    notes = (*record.data.get("notes", ()), *ignored_files(folder))
    return CropResult(crops, notes, int(record.data.get("repeats", 0)))


def _face(settings: Settings, image: Image.Image) -> tuple[int, int, int, int] | None:
    """Where a detector sees the face, on photographs OpenCV's cascade; None leaves it to the
    colours of the drawing.
    """
    if settings.crop.detector:
        return face_of(Detector(Path(settings.crop.detector).expanduser()).detect(image))
    return None if plain_border(image) else photographed_face(image)


def _missing(views: list[View], settings: Settings) -> list[str]:
    """Which of the named views this picture does not give, unless somebody chose."""
    left = [
        framing.name for framing in FRAMINGS if framing.name not in {view.name for view in views}
    ]
    if not left or settings.crop.views:
        return []
    return [
        f"not proposed: {', '.join(left)}; the picture does not show them whole, or they would look"
        " like another crop (crop.boxes adds one)"
    ]


def _photograph(image: Image.Image, face: tuple[int, int, int, int] | None) -> list[str]:
    """What does not apply where the background is not flat, as on photographs."""
    if plain_border(image):
        return []
    seen = (
        "a detector saw the face, and views are measured from it"
        if face
        else "no detector saw a face, so views of the face are guesses or missing (crop.detector)"
    )
    return [f"the background is not of one colour, so where she ends is only approximate; {seen}"]


def _given_side(workspace: Workspace, image: Image.Image) -> int:
    """Long side of the picture as the user gave it, pixels; room that was added at its sides leaves
    it as it is.
    """
    original = workspace.original()
    return max((load_picture(original).image if original else image).size)


def _wanted(proposed: list[View], names: tuple[str, ...]) -> list[View]:
    if not names:
        return proposed
    known = {view.name: view for view in proposed}
    for name in names:
        if name not in known:
            raise SettingsError(
                f"crop.views: found '{name}', expected some of {', '.join(known)} (what this"
                " picture allows)"
            )
    return [known[name] for name in names]
