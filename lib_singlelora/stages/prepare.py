"""Prepare: the user's picture, upright, in RGB, large enough, cleaned, on a plain background, with
a foreground mask.
"""

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
from ..imaging.background import (
    SURE,
    Foreground,
    background_colour,
    flatten,
    foreground_mask,
    parse_colour,
    widened,
)
from ..imaging.figure_count import check_picture
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
from ..workspace.workspace import Workspace
from .context import StageContext
from .prepare_artifacts import clean_picture, write_findings

# Where on the way to 100 each step begins.
ENLARGE, SEARCH, FIND, WRITE, DONE = 5, 45, 75, 95, 100


@dataclass(frozen=True)
class PrepareResult:
    """source: the prepared picture.  mask: its foreground (L).  notes: what the user should know.

    artifacts: the list of what does not belong to the picture, or None where it was not looked for.
    confidence: 0 to 1, how sure the mask is; a mask below `background.SURE` should be looked at
        before training.
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

    A mask edited by hand is kept, and the background is replaced by it.
    Raises: PictureError, for a file that cannot be used; WorkspaceError, when the workspace holds
    another picture; ImageModelError, SettingsError, MissingPackageError, for an upscaler, mask or
    artifact that cannot be had.
    """
    workspace, host, job, force = context.workspace, context.host, context.job, context.force
    options = context.settings.prepare
    original = take_picture(workspace, picture, force)
    own_mask = _mask_by_hand(workspace, force)
    record, done = begin(
        workspace, "prepare", fingerprint(vars(options), file_hash(original), own_mask or ""), force
    )
    if done and workspace.prepared.exists() and workspace.mask.exists():
        return _result(workspace, record)
    job.report(Progress("prepare", 0, DONE, "reading the picture"))
    loaded = load_picture(original)
    notes = list(loaded.notes)
    image, alpha = _enlarged(loaded, options, host, job, notes)
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
    job.report(Progress("prepare", FIND, DONE, "finding the character"))
    ready, alpha, left = _widened(cleaned.image, alpha, options, notes)
    found = _foreground(ready, alpha, options, workspace, own_mask is not None, host, job)
    notes += [f"foreground: {found.method}", *found.notes]
    if cleaned.found and cleaned.found.artifacts and not plain_border(image):
        notes.append(
            "the background is not flat, as on photographs: what is called a stray colour may be a"
            " detail of hers; look at each before you clean it"
        )
    if options.background != "keep" and found.reliable:
        ready = flatten(ready, found.mask, parse_colour(options.background), found.background)
    job.report(Progress("prepare", WRITE, DONE, "writing"))
    job.raise_if_cancelled()
    made = _write(workspace, record, ready, found.mask, notes, force)
    own = found.mask.crop((left, 0, left + image.width, image.height))
    made += write_findings(workspace, record, cleaned, image, own, force)
    record.data["notes"] = notes
    record.data["mask_confidence"] = found.confidence
    finish(workspace, record, made)
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
    """What should be told before a training on a mask that nobody looked at and that is unsure."""
    record = workspace.record("prepare")
    confidence = float(record.data.get("mask_confidence", 1.0))
    if confidence >= SURE or workspace.edited(record, workspace.mask):
        return []
    return [
        f"the mask is unsure ({confidence:.0%}) and was not changed by hand: where the character"
        " ends, and with it the crops, may be wrong; look at source/mask.png and the crops"
    ]


def _tick(job: Job, start: int, end: int, done: int, total: int, message: str) -> None:
    job.raise_if_cancelled()
    job.report(Progress("prepare", start + (end - start) * done // max(1, total), DONE, message))


def _enlarged(
    loaded: Picture, options: PrepareSettings, host: Host, job: Job, notes: list[str]
) -> tuple[Image.Image, Image.Image | None]:
    """Picture and alpha in the asked size."""
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
    notes += [note] if note else []
    return image, alpha


def _widened(
    image: Image.Image, alpha: Image.Image | None, options: PrepareSettings, notes: list[str]
) -> tuple[Image.Image, Image.Image | None, int]:
    """Picture and alpha, widened where that is asked for, and where the picture's left edge lies
    now.
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


def _mask_by_hand(workspace: Workspace, force: bool) -> str | None:
    """The hash of a mask that a person edited, or None."""
    if force or not workspace.edited(workspace.record("prepare"), workspace.mask):
        return None
    return file_hash(workspace.mask)


def _foreground(
    image: Image.Image,
    alpha: Image.Image | None,
    options: PrepareSettings,
    workspace: Workspace,
    by_hand: bool,
    host: Host,
    job: Job,
) -> Foreground:
    if by_hand:
        given = read_mask(workspace.mask)
        mask = given.image
        if mask.size != image.size:
            raise WorkspaceError(
                f"source/mask.png: found {mask.width}x{mask.height}, expected the picture's"
                f" {image.width}x{image.height}; it was edited by hand and is kept: mend it, or"
                " call 'prepare --force' to make it anew"
            )
        return Foreground(
            mask, "source/mask.png, edited by hand", True, background_colour(image), given.notes
        )
    if (
        options.matting_model
        and options.mask in ("auto", "model")
        and not (alpha is not None and options.mask == "auto")
    ):
        return foreground_mask(
            image,
            alpha,
            options.mask,
            MattingModel(_matting_file(options.matting_model, host, job)),
        )
    return foreground_mask(image, alpha, options.mask)


def _matting_file(given: str, host: Host, job: Job) -> Path:
    """The file of a matting model that is given by path or by name; a name's is downloaded once."""
    if given in OFFERS or given in ALIASES:
        return fetch_matting_model(given, (host.paths.downloads or HOME.parent) / "matting", job)
    path = Path(given).expanduser()
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
    """Write picture and mask; what a person edited stays."""
    for path, result in ((workspace.prepared, image), (workspace.mask, mask)):
        # A mask by hand is what the mask is made of, and so always equal to it.
        if not workspace.write_unless_edited(
            record, path, png_bytes(result), force, path != workspace.mask
        ):
            notes.append(f"{path.name} was edited by hand and is kept; --force makes it anew")
        workspace.save_record(record)  # at once: a mask that is not noted counts as a person's
    return [workspace.prepared, workspace.mask]


def take_picture(workspace: Workspace, picture: Path | None, force: bool) -> Path:
    """Copy the picture to source/original.*; an equal one already there is left."""
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
