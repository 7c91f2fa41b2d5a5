"""Prepare: the user's picture upright, in RGB, large enough and cleaned, with a foreground mask."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..crops.views import plain_border
from ..errors import ImageModelError, PictureError, WorkspaceError
from ..files.fileio import atomic, file_hash, fingerprint
from ..host import Host
from ..imaging.backdrop import flatten, parse_colour, widened
from ..imaging.background import SURE, Foreground, foreground_mask
from ..imaging.figure_count import check_picture
from ..imaging.flat_background import background_colour
from ..imaging.load import Picture, load_picture
from ..imaging.mask_reader import read_mask
from ..imaging.matting import MattingModel
from ..imaging.matting_download import ALIASES, OFFERS, fetch_matting_model
from ..imaging.png import png_bytes
from ..imaging.upscale import choose_upscaler, enlarge
from ..jobs import Job, Progress
from ..settings.prepare import PrepareSettings
from ..tagging.discovery import HOME
from ..workspace.resume import begin, finish
from ..workspace.stage_record import StageRecord
from ..workspace.substeps import BACKGROUND, CLEANED, UPSCALED, WIDENED
from ..workspace.workspace import Workspace
from .context import StageContext
from .prepare_artifacts import clean_picture, write_findings
from .prepare_substeps import write_substeps

# Per cent of the progress bar at which each step begins.
ENLARGE = 5
SEARCH = 45
FIND = 75
WRITE = 95
DONE = 100


@dataclass(frozen=True)
class PrepareResult:
    """The prepared picture.

    source: the picture.
    mask: its foreground (L).
    notes: what the user should know.
    artifacts: the list of artifacts; None where they were not looked for.
    confidence: of the mask, 0 to 1; below `background.SURE` the user should check the mask before
        training.
    """

    source: Path
    mask: Path
    notes: tuple[str, ...] = ()
    artifacts: Path | None = None
    confidence: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "source": str(self.source),
            "mask": str(self.mask),
            "artifacts": str(self.artifacts) if self.artifacts else None,
            "mask_confidence": self.confidence,
            "notes": list(self.notes),
        }


def prepare(context: StageContext, picture: Path | None = None) -> PrepareResult:
    """Take a picture into the workspace and prepare it.

    A mask edited by hand is kept, and decides where the background is replaced.

    Raises: PictureError, for a file that cannot be used; WorkspaceError, when the workspace holds
        another picture; ImageModelError, SettingsError, MissingPackageError, for an upscaler, mask
        or artifact that is not available.
    """
    workspace = context.workspace
    host = context.host
    job = context.job
    force = context.force
    options = context.settings.prepare
    original = take_picture(workspace, picture, force)
    edited_mask = _edited_mask_hash(workspace, force)
    mark = fingerprint(vars(options), file_hash(original), edited_mask or "")
    record, done = begin(workspace, "prepare", mark, force)
    if done and workspace.prepared.exists() and workspace.mask.exists():
        return _result(workspace, record)
    job.report(Progress("prepare", 0, DONE, "reading the picture"))
    loaded = load_picture(original)
    notes = list(loaded.notes)
    image, alpha = _enlarged(loaded, options, host, job, notes)
    after = {UPSCALED: image} if image is not loaded.image else {}
    job.raise_if_cancelled()
    cleaned = clean_picture(
        image,
        loaded.image,
        options.clean_artifacts,
        lambda done, total: _tick(
            job, SEARCH, FIND, done, total, "looking for what does not belong to the picture"
        ),
    )
    notes += cleaned.notes
    if cleaned.names:
        after[CLEANED] = cleaned.image
    job.report(Progress("prepare", FIND, DONE, "finding the character"))
    ready, alpha, left = _widened(cleaned.image, alpha, options, notes)
    unwidened = (left, 0, left + image.width, image.height)
    if ready is not cleaned.image:
        after[WIDENED] = ready
    foreground = _foreground(ready, alpha, options, workspace, edited_mask is not None, host, job)
    notes += [f"foreground: {foreground.method}", *foreground.notes]
    if cleaned.found and cleaned.found.artifacts and not plain_border(image):
        notes.append(
            "the background is not flat, as on photographs: what is called a stray colour may be a"
            " detail of the character; look at each before you clean it"
        )
    if options.background != "keep" and foreground.reliable:
        colour = parse_colour(options.background)
        ready = flatten(ready, foreground.mask, colour, foreground.background)
        after[BACKGROUND] = ready
    job.report(Progress("prepare", WRITE, DONE, "writing"))
    job.raise_if_cancelled()
    files = _write(workspace, record, ready, foreground.mask, notes, force)
    unwidened_mask = foreground.mask.crop(unwidened)
    files += write_findings(workspace, record, cleaned, image, unwidened_mask, force)
    files += write_substeps(workspace, record, after, unwidened if WIDENED in after else None)
    record.data["notes"] = notes
    record.data["mask_confidence"] = foreground.confidence
    finish(workspace, record, files)
    job.report(Progress("prepare", DONE, DONE, "; ".join(notes), pictures=(workspace.prepared,)))
    return _result(workspace, record)


def _result(workspace: Workspace, record: StageRecord) -> PrepareResult:
    artifacts = workspace.artifacts if workspace.artifacts.exists() else None
    return PrepareResult(
        workspace.prepared,
        workspace.mask,
        tuple(record.data.get("notes", ())),
        artifacts,
        float(record.data.get("mask_confidence", 1.0)),
    )


def unsure_mask(workspace: Workspace) -> list[str]:
    """A note before a training on an unsure mask that the user has not edited."""
    record = workspace.record("prepare")
    confidence = float(record.data.get("mask_confidence", 1.0))
    if confidence >= SURE or workspace.edited(record, workspace.mask):
        return []
    return [
        f"the mask is unsure ({confidence:.0%}) and was not edited by hand: where the character"
        " ends, and with it the crops, may be wrong; look at source/mask.png and the crops"
    ]


def _tick(job: Job, start: int, end: int, done: int, total: int, message: str) -> None:
    job.raise_if_cancelled()
    job.report(Progress("prepare", start + (end - start) * done // max(1, total), DONE, message))


def _enlarged(
    loaded: Picture, options: PrepareSettings, host: Host, job: Job, notes: list[str]
) -> tuple[Image.Image, Image.Image | None]:
    """Picture and alpha at `prepare.long_side`."""
    if max(loaded.image.size) >= options.long_side:
        return loaded.image, loaded.alpha
    job.raise_if_cancelled()
    job.report(Progress("prepare", ENLARGE, DONE, "enlarging"))
    upscaler = choose_upscaler(
        options.upscaler,
        host.upscalers(),
        lambda done, total: _tick(
            job, ENLARGE, SEARCH, done, total, f"enlarging: tile {min(done + 1, total)} of {total}"
        ),
    )
    image, alpha, note = enlarge(loaded.image, loaded.alpha, options.long_side, upscaler)
    if note:
        notes.append(note)
    return image, alpha


def _widened(
    image: Image.Image, alpha: Image.Image | None, options: PrepareSettings, notes: list[str]
) -> tuple[Image.Image, Image.Image | None, int]:
    """Picture and alpha, widened to a square where `prepare.square` says so.

    The third value is where the left edge of the original now lies, pixels.
    """
    if not options.square or image.width >= image.height:
        return image, alpha, 0
    wider = widened(image, alpha)
    if wider is None:
        notes.append(
            "not widened to a square: there is no plain background at both sides to go on with"
            " (prepare.square)"
        )
        return image, alpha, 0
    notes.append(
        f"widened from {image.width} to {image.height} px with its background (prepare.square)"
    )
    return wider


def _edited_mask_hash(workspace: Workspace, force: bool) -> str | None:
    """The hash of a mask that the user edited, else None."""
    if force or not workspace.edited(workspace.record("prepare"), workspace.mask):
        return None
    return file_hash(workspace.mask)


def _foreground(
    image: Image.Image,
    alpha: Image.Image | None,
    options: PrepareSettings,
    workspace: Workspace,
    is_edited: bool,
    host: Host,
    job: Job,
) -> Foreground:
    """The foreground: the user's mask, or what the settings' method finds."""
    if is_edited:
        read = read_mask(workspace.mask)
        mask = read.image
        if mask.size != image.size:
            raise WorkspaceError(
                f"source/mask.png: found {mask.width}x{mask.height}, expected the picture's"
                f" {image.width}x{image.height}; it was edited by hand and is kept: fix it, or"
                " call 'prepare --force' to make it again"
            )
        return Foreground(
            mask, "source/mask.png, edited by hand", True, background_colour(image), read.notes
        )
    # With "auto" the picture's own transparency comes first.
    has_use = options.mask == "model" or (options.mask == "auto" and alpha is None)
    if options.matting_model and has_use:
        model = MattingModel(_matting_file(options.matting_model, host, job))
        return foreground_mask(image, alpha, options.mask, model)
    return foreground_mask(image, alpha, options.mask)


def matting_home(host: Host) -> Path:
    """The folder of downloaded matting models."""
    return (host.paths.downloads or HOME.parent) / "matting"


def _matting_file(model: str, host: Host, job: Job) -> Path:
    """The file of a matting model, by path or by name; a named one is downloaded once."""
    if model in OFFERS or model in ALIASES:
        return fetch_matting_model(model, matting_home(host), job)
    path = Path(model).expanduser()
    if path.suffix.lower() != ".onnx":
        raise ImageModelError(
            f"prepare.matting_model: found {path.name}, expected an .onnx file, or a name to"
            f" download: {', '.join(OFFERS)}"
        )
    return path


def _write(
    workspace: Workspace,
    record: StageRecord,
    image: Image.Image,
    mask: Image.Image,
    notes: list[str],
    force: bool,
) -> list[Path]:
    """Write picture and mask, except over the user's edits."""
    for path, result in ((workspace.prepared, image), (workspace.mask, mask)):
        # The user's mask is read as the mask, so that it always equals the data to write.
        if not workspace.write_unless_edited(
            record, path, png_bytes(result), force, path != workspace.mask
        ):
            notes.append(f"{path.name} was edited by hand and is kept; --force makes it again")
        workspace.save_record(record)  # at once: a mask without a hash counts as the user's
    return [workspace.prepared, workspace.mask]


def take_picture(workspace: Workspace, picture: Path | None, force: bool) -> Path:
    """Copy the picture to source/original.*, unless the same one is there already.

    Raises: PictureError, for a file that cannot be used; WorkspaceError, for another picture in the
        workspace, or none.
    """
    present = workspace.original()
    if picture is None:
        if present is None:
            raise WorkspaceError(
                f"{workspace.root}: found no picture in source/, expected original.*; "
                "call 'prepare PICTURE' first"
            )
        return present
    if not picture.is_file():
        raise PictureError(
            f"{picture}: found {'a folder' if picture.is_dir() else 'no such file'}, expected a"
            " picture; check the path"
        )
    check_picture(load_picture(picture).image, picture.name)  # refused before anything is written
    if present is not None:
        if file_hash(present) == file_hash(picture):
            return present
        if not force:
            raise WorkspaceError(
                f"{workspace.root}: found another picture in it ({present.name}), expected the same"
                " one as before; choose another --workspace, or --force to replace it"
            )
    target = workspace.root / "source" / f"original{picture.suffix.lower() or '.png'}"
    with atomic(target) as file, picture.open("rb") as given:
        shutil.copyfileobj(given, file)
    if present is not None and present != target:
        present.unlink()
    return target
