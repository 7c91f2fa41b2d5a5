"""Crop: named views of the prepared picture, in kohya's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..crops.body import body_parts, shown_parts
from ..crops.buckets import Size, training_buckets
from ..crops.coverage import (
    Shown,
    coverage,
    coverage_picture,
    figures,
    moved,
    proposed_repeats,
    sentences,
    without_soft,
)
from ..crops.details import propose_details
from ..crops.symmetry import compare_sides
from ..crops.views import FRAMINGS, View, figure_in, plain_border, propose_views
from ..errors import NotFoundError, SettingsError, WorkspaceError
from ..files.fileio import file_hash, fingerprint
from ..imaging.face_by_colour import find_face
from ..imaging.face_detector import Detector, face_of, photographed_face
from ..imaging.figure_count import check_figure
from ..imaging.load import load_picture
from ..imaging.mask_reader import read_mask
from ..imaging.png import png_bytes
from ..jobs import Progress
from ..settings.crop import CropSettings
from ..workspace.kohya_folders import ignored_files, list_pictures
from ..workspace.resume import begin, finish
from ..workspace.stage_record import StageRecord
from ..workspace.workspace import Workspace
from .context import StageContext

FaceBox = tuple[int, int, int, int]  # left, top, right, bottom, pixels


@dataclass(frozen=True)
class CropResult:
    """The folder of the crops after the stage.

    crops: the pictures, the user's own included.
    notes: what the user should know of them.
    repeats: how often an epoch should show each, as far as the crops tell.
    coverage: the picture that shows how often each part is in a crop; None if it was deleted.
    """

    crops: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    repeats: int = 0
    coverage: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "crops": [str(path) for path in self.crops],
            "coverage": str(self.coverage) if self.coverage else None,
            "proposed_repeats": self.repeats,
            "crop_notes": list(self.notes),
        }


def crop(context: StageContext) -> CropResult:
    """Cut the views.

    Raises: NotFoundError, when nothing is prepared; WorkspaceError, for a mask of another size;
        SettingsError, for an unknown view.
    """
    settings = context.settings
    workspace = context.workspace
    if not workspace.prepared.exists() or not workspace.mask.exists():
        raise NotFoundError(
            f"{workspace.root}: found no prepared picture, expected source/prepared.png and"
            " mask.png; call 'prepare' first"
        )
    folder = workspace.image_folder(settings)
    buckets = training_buckets(settings, context.host)
    inputs = [file_hash(workspace.prepared), file_hash(workspace.mask)]
    mark = fingerprint(_cutting(settings.crop), buckets, settings.training.repeats, inputs)
    record, done = begin(workspace, "crop", mark, context.force)
    if not done:
        image = load_picture(workspace.prepared).image
        foreground = read_mask(workspace.mask).image
        if image.size != foreground.size:
            raise WorkspaceError(
                f"source/mask.png: found {foreground.size}, expected the picture's {image.size}; "
                "fix it, or call 'prepare --force'"
            )
        check_figure(foreground)
        face = _detected_face(settings.crop, image)
        scale = max(image.size) / _original_side(workspace, image)
        views = _views(settings.crop, image, foreground, buckets, face)
        views, left_out = _sharp(settings.crop, views, scale, buckets)
        cut = _cut(context, record, folder, image, views)
        repeats = settings.training.repeats
        most = settings.crop.most_enlarged
        sizes = {view.name: figures(view, scale, buckets, most) for view in views}
        # A preset's own number has its reason; only one of the user's is advised against.
        advised = repeats if "training.repeats" in settings.changed() else None
        notes = _describe(record, workspace, image, foreground, views, sizes, advised)
        _record_parts(record, image, foreground, views, face)
        record.data["notes"] = [
            *_missing_views(settings.crop, views),
            *left_out,
            *_photograph_notes(image, face),
            *notes,
        ]
        finish(workspace, record, [*cut, workspace.coverage])
    crops = tuple(list_pictures(folder))
    if not crops:
        raise NotFoundError(
            f"{folder}: found no pictures, expected the crops; call 'crop --force' to cut them"
            " again"
        )
    return CropResult(
        crops,
        (*record.data.get("notes", ()), *ignored_files(folder)),
        int(record.data.get("repeats", 0)),
        workspace.coverage if workspace.coverage.exists() else None,
    )


def _cutting(options: CropSettings) -> dict[str, Any]:
    """The settings that decide what is cut; without a limit as there were before it."""
    values = dict(vars(options))
    if values.pop("soft_views") == "drop":
        return {**values, "soft_views": "drop"}
    values.pop("most_enlarged")
    return values


def _sharp(
    options: CropSettings, views: list[View], scale: float, buckets: list[Size]
) -> tuple[list[View], list[str]]:
    """The views that training does not enlarge too much, and notes on those left out."""
    if options.soft_views != "drop":
        return views, []
    shown = {view.name: figures(view, scale, buckets, options.most_enlarged) for view in views}
    named = [text.split(":")[0].strip().replace(" ", "_") for text in options.boxes]
    return without_soft(views, shown, named)


def _views(
    options: CropSettings,
    image: Image.Image,
    foreground: Image.Image,
    buckets: list[Size],
    detected: FaceBox | None,
) -> list[View]:
    """The views to cut: those proposed, moved and chosen as the settings say."""
    proposed = propose_views(foreground, buckets, image, face=detected)
    if options.details:
        face = detected or find_face(image, foreground)
        proposed += propose_details(foreground, buckets, image, face, options.details)
    return _chosen(moved(proposed, options.boxes, image.size), options.views)


def _cut(
    context: StageContext,
    record: StageRecord,
    folder: Path,
    image: Image.Image,
    views: Sequence[View],
) -> list[Path]:
    """Write each view, except over the user's edits; the paths of all."""
    paths = []
    for number, view in enumerate(views, 1):
        context.job.raise_if_cancelled()
        path = folder / f"{view.name}.png"
        piece = image.crop(view.box)
        context.workspace.write_unless_edited(record, path, png_bytes(piece), context.force)
        paths.append(path)
        context.workspace.save_record(record)
        message = f"{view.name}: {piece.width}x{piece.height}"
        context.job.report(Progress("crop", number, len(views), message, pictures=(path,)))
    return paths


def _describe(
    record: StageRecord,
    workspace: Workspace,
    image: Image.Image,
    foreground: Image.Image,
    views: Sequence[View],
    sizes: Mapping[str, Shown],
    repeats: int | None,
) -> list[str]:
    """Record each view's box, tags, symmetry and real size; write the coverage; the notes on them.

    sizes: of each view, by its name.
    repeats: of an epoch, as the user set them; None where a preset did.
    """
    sides = compare_sides(image, foreground)
    counts = coverage(image.size, [view.box for view in views])
    solid = np.asarray(foreground) > 127
    proposal = proposed_repeats(counts, solid, len(views))
    record.data["symmetry"] = sides.of().as_dict()
    record.data["views"] = {
        view.name: {
            "box": list(view.box),
            "tags": list(view.tags),
            "confidence": view.confidence,
            "symmetry": sides.of(view.box).as_dict(),
            **asdict(sizes[view.name]),
        }
        for view in views
    }
    record.data["repeats"] = proposal
    notes = sentences(sizes, counts, solid, repeats or proposal, proposal)
    mirrored = [view.name for view in views if sides.of(view.box).flip]
    if mirrored:
        notes = [
            f"the same from both sides, thus mirrored in training: {', '.join(mirrored)}"
            " (training.flip_symmetric)",
            *notes,
        ]
    picture = png_bytes(coverage_picture(image, counts))
    workspace.write_unless_edited(record, workspace.coverage, picture, True)
    return notes


def _record_parts(
    record: StageRecord,
    image: Image.Image,
    foreground: Image.Image,
    views: Sequence[View],
    face: FaceBox | None,
) -> None:
    """Record which parts of the body each view shows."""
    parts = body_parts(figure_in(foreground, image, face))
    solid = np.asarray(foreground) > 127
    for view in views:
        record.data["views"][view.name]["shows"] = shown_parts(view.box, parts, solid)


def _detected_face(options: CropSettings, image: Image.Image) -> FaceBox | None:
    """Where a detector sees the face: the one of the settings, on photographs OpenCV's cascade.

    None leaves it to the colours of the drawing.
    """
    if options.detector:
        return face_of(Detector(Path(options.detector).expanduser()).detect(image))
    return None if plain_border(image) else photographed_face(image)


def _missing_views(options: CropSettings, views: Sequence[View]) -> list[str]:
    """A note on the named views that this picture does not give, unless the user chose views."""
    names = {view.name for view in views}
    missing = [framing.name for framing in FRAMINGS if framing.name not in names]
    if not missing or options.views:
        return []
    return [
        f"not proposed: {', '.join(missing)}; the picture does not show them whole, or they would"
        " look like another crop (crop.boxes adds one)"
    ]


def _photograph_notes(image: Image.Image, face: FaceBox | None) -> list[str]:
    """A note where the background is not flat, as on photographs."""
    if plain_border(image):
        return []
    views = (
        "a detector saw the face, and views are measured from it"
        if face
        else "no detector saw a face, so views of the face are guesses or missing (crop.detector)"
    )
    return [
        "the background is not of one colour, so where the character ends is only approximate;"
        f" {views}"
    ]


def _original_side(workspace: Workspace, image: Image.Image) -> int:
    """Long side of the user's picture, pixels; `prepare.square` does not change it."""
    original = workspace.original()
    return max((load_picture(original).image if original else image).size)


def _chosen(proposed: list[View], names: Sequence[str]) -> list[View]:
    """The views of these names, or all without names.  Raises: SettingsError."""
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
