"""Inpaint: a masked part redrawn with the trained LoRA, or all of a picture (img2img)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import PictureError
from ..files.fileio import file_hash, fingerprint, write_bytes, write_json
from ..host import Host, LoraUse
from ..imaging.load import picture_size, read_rgb
from ..imaging.png import png_bytes, save_picture
from ..imaging.upscale import choose_upscaler
from ..jobs import Progress, in_series
from ..library.bake import bake_preset
from ..library.block_presets import known_presets, preset_key
from ..library.choose import choose_use
from ..library.epochs import epoch_files
from ..library.publish import publish
from ..settings.declare import SEEDS
from ..settings.inpaint import InpaintSettings
from ..settings.schema import Settings
from ..sheets.grid import Cell, Grid, draw_sheet
from ..workspace.resume import begin, finish
from ..workspace.workspace import Workspace
from .context import StageContext
from .inpaint_canvas import Canvas, default_mask, make_canvas
from .inpaint_parts import Asked, parts_to_redraw
from .inpaint_prompt import region_prompt
from .inpaint_request import control_units, drawn_at, request_for
from .inpaint_strip import after, before, masked, strip_of
from .inpaint_tries import keep_best, kept_files, tried_denoise, tried_files

HOW = "how.json"  # lies in a batch's folder and says what made it


@dataclass(frozen=True)
class InpaintResult:
    """One batch, or one for each of `inpaint.parts`.

    pictures: one a seed.
    sheet: the batch beside the original; of several the first one's, as mask and prompt.
    mask: None where the whole picture was redrawn.
    prompt: the one that was used.
    notes: how the mask was read, where that may not be what was meant.
    strips: of each batch the redrawn part before, masked and after, at the picture's resolution.
    """

    pictures: tuple[Path, ...]
    sheet: Path
    mask: Path | None
    prompt: str
    notes: tuple[str, ...] = ()
    strips: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "inpainted": [str(path) for path in self.pictures],
            "inpaint_sheet": str(self.sheet),
            "inpaint_strips": [str(path) for path in self.strips],
            "inpaint_mask": str(self.mask) if self.mask else None,
            "inpaint_prompt": self.prompt,
            "inpaint_notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Batch:
    """One part to redraw.

    mark: of all that its pictures show.
    seeds: of all that is drawn.
    paths: of the pictures that are kept: one a seed, or the best of `inpaint.tries`.
    own: the picture is the prepared one.
    """

    picture: Path
    mask: Path | None
    canvas: Canvas
    prompt: str
    mark: str
    seeds: tuple[int, ...]
    paths: tuple[Path, ...]
    own: bool

    @property
    def folder(self) -> Path:
        return self.paths[0].parent

    @property
    def drawn(self) -> tuple[Path, ...]:
        """The file of each seed's picture."""
        one_a_seed = len(self.seeds) == len(self.paths)
        return self.paths if one_a_seed else tried_files(self.folder, self.seeds)

    @property
    def strip(self) -> Path:
        return self.folder / "strip.png"

    @property
    def files(self) -> list[Path]:
        strips = [self.strip] if self.mask else []
        return [*self.paths, self.folder / "sheet.png", *strips, self.folder / HOW]


def inpaint(
    context: StageContext, image: Path | None = None, mask: Path | None = None
) -> InpaintResult:
    """Redraw the masked part of a picture, or all of it.

    image: default the prepared picture.
    mask: white is redrawn; default each of `inpaint.parts`, or without any the character's head,
        written to inpaint/mask.png to be edited.
    Raises: PictureError, for a mask of another size; LoraFileError, when nothing is trained;
        PresetError; SettingsError, for a part that the picture does not show; ImageModelError, for
        an upscaler; JobCancelled.
    """
    settings = context.settings
    workspace = context.workspace
    host = context.host
    options, lora = chosen(settings, workspace)
    with_parts = options.parts and options.redraw == "masked part"
    if with_parts and image is None and mask is None:
        asked = parts_to_redraw(context, options)
    else:
        asked = [Asked(*_picture_and_mask(settings, workspace, image, mask))]
    prepared = image is None
    batches = [_batch(context, options, lora, each, prepared) for each in asked]
    marks = [batch.mark for batch in batches]
    mark = marks[0] if len(marks) == 1 else fingerprint(marks)
    files = [path for batch in batches for path in batch.files]
    record, done = begin(workspace, "inpaint", mark, context.force)
    if not (done and all(path.exists() for path in files)):
        known = known_presets(settings, host)
        publish(settings, workspace, host, epoch_files(workspace, settings))
        baked = bake_preset(lora, None, options.preset, workspace, known, host.checkpoint)
        use = LoraUse(baked, options.strength, options.strength)
        total = sum(len(batch.seeds) for batch in batches)
        for index, batch in enumerate(batches):
            earlier = sum(len(other.seeds) for other in batches[:index])
            _draw(context, batch, options, use, earlier, total)
            _finish_batch(context, batch, options, lora)
        # Earlier batches are the user's to keep: they are taken out of the record, so that
        # `finish` does not remove them.
        record.files = {}
        for path in files:
            workspace.note_file(record, path)
        finish(workspace, record, files)
    first = batches[0]
    return InpaintResult(
        tuple(path for batch in batches for path in batch.paths),
        first.folder / "sheet.png",
        first.mask,
        first.prompt,
        tuple(dict.fromkeys(note for batch in batches for note in batch.canvas.notes)),
        tuple(batch.strip for batch in batches if batch.mask),
    )


def _batch(
    context: StageContext, options: InpaintSettings, lora: Path, asked: Asked, is_prepared: bool
) -> _Batch:
    """What is drawn of one part.

    is_prepared: no other picture was given than the prepared one, whose clothes are known.
    """
    settings = context.settings
    workspace = context.workspace
    host = context.host
    picture, mask = asked.picture, asked.mask
    known = known_presets(settings, host)
    canvas = make_canvas(picture, mask, options, *drawn_at(settings, host), asked.frame)
    units, lacking = control_units(host, options, workspace.prepared)
    canvas = replace(canvas, notes=(*canvas.notes, *lacking))
    prompt = (
        options.prompt or asked.prompt or _prompt(settings, workspace, canvas, mask, is_prepared)
    )
    sources = [file_hash(path) for path in (lora, picture, *([mask] if mask else []))]
    mark = fingerprint(
        _what_shows(options),
        preset_key(options.preset, known),
        prompt,
        *([canvas.box] if asked.frame else []),
        settings.training.clip_skip,
        settings.prepare.upscaler,
        host.checkpoint.drawing_mark,
        [unit.kind for unit in units],
        *sources,
    )
    folder = workspace.inpaint / mark[:8]
    tries = options.tries if mask else 1
    seeds = tuple((options.seed + index) % SEEDS for index in range(options.count * tries))
    paths = kept_files(folder, options.count, seeds, tries)
    own = picture == workspace.prepared
    return _Batch(picture, mask, canvas, prompt, mark, seeds, paths, own)


def _what_shows(options: InpaintSettings) -> dict[str, Any]:
    """The settings that a batch depends on; without tries it is named as before there were any."""
    values = dict(vars(replace(options, parts=())))
    if options.tries == 1:
        del values["tries"]
    return values


def _finish_batch(
    context: StageContext, batch: _Batch, options: InpaintSettings, lora: Path
) -> None:
    """The files beside what was drawn of a batch."""
    scores: dict[str, float] = {}
    if batch.drawn != batch.paths:
        scores = keep_best(batch.drawn, batch.paths, batch.canvas, batch.own, context.workspace)
    sheet = _sheet(batch.canvas, list(batch.paths), batch.prompt)
    write_bytes(batch.folder / "sheet.png", png_bytes(sheet))
    if batch.mask:
        write_bytes(batch.strip, png_bytes(strip_of(batch.canvas, read_rgb(batch.paths[0]))))
    how = _how_made(options, context.host, batch.prompt, batch.picture, batch.mask, lora)
    if scores:
        how["tries"] = scores
    write_json(batch.folder / HOW, how)


def chosen(settings: Settings, workspace: Workspace) -> tuple[InpaintSettings, Path]:
    """The settings with strength and block weights as they will be used, and the LoRA file.

    Raises: LoraFileError.
    """
    options = settings.inpaint
    lora, strength, preset = choose_use(
        settings, workspace, options.lora, options.strength, options.preset
    )
    return replace(options, strength=strength, preset=preset), lora


def _draw(
    context: StageContext,
    batch: _Batch,
    options: InpaintSettings,
    use: LoraUse,
    earlier: int,
    total: int,
) -> None:
    """Draw the pictures that are missing, one a seed, each into its file.

    earlier, total: pictures of earlier batches, and of all.
    """
    job = context.job
    canvas = batch.canvas
    clip_skip = context.settings.training.clip_skip
    units, _ = control_units(context.host, options, context.workspace.prepared)
    request = request_for(canvas, batch.prompt, options, clip_skip, (use,), units)
    upscaler = choose_upscaler(
        context.settings.prepare.upscaler,
        context.host.upscalers(),
        lambda done, total: job.raise_if_cancelled(),
    )
    missing = [n for n, path in enumerate(batch.drawn) if context.force or not path.exists()]
    done = earlier
    for number, path in enumerate(batch.drawn):
        if number not in missing:
            done += 1
            job.report(Progress("inpaint", done, total, pictures=(path,)))
    while missing:
        job.raise_if_cancelled()
        denoise = tried_denoise(options, missing[0], not batch.own)
        at_once = context.host.batch_limit(request.width, request.height) if not units else 1
        alike = [n for n in missing if tried_denoise(options, n, not batch.own) == denoise]
        numbers = alike[:at_once]
        message = f"{in_series(done, len(numbers))} of {total}"
        job.report(Progress("inpaint", done, total, message))
        seeds = tuple(batch.seeds[n] for n in numbers)
        drawn = context.host.generate(replace(request, seeds=seeds, denoise=denoise), job)
        for number, picture in zip(numbers, drawn, strict=True):
            missing.remove(number)
            path = batch.drawn[number]
            finished = canvas.result(picture.image, upscaler)
            parameters = picture.parameters + _canvas_parameters(canvas, options)
            save_picture(path, replace(picture, image=finished, parameters=parameters))
            done += 1
            job.report(Progress("inpaint", done, total, pictures=(path,)))


def _canvas_parameters(canvas: Canvas, options: InpaintSettings) -> str:
    """Of what was done around a drawn picture, as the WebUI writes it."""
    text = ""
    if canvas.seam is not None:
        text += f", Mask blur: {options.mask_blur}"
    if canvas.box:
        text += f", Inpaint area: Only masked, Masked area padding: {options.padding}"
    return text


def _how_made(
    options: InpaintSettings, host: Host, prompt: str, picture: Path, mask: Path | None, lora: Path
) -> dict[str, Any]:
    """What made a batch, for its folder."""
    return {
        "prompt": prompt,
        "settings": vars(options),
        "picture": picture.name,
        "picture_sha256": file_hash(picture),
        "mask": mask.name if mask else None,
        "lora": lora.name,
        "lora_sha256": file_hash(lora),
        "checkpoint": host.checkpoint.name,
        "checkpoint_sha256": host.checkpoint.sha256,
    }


def suggested_prompt(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    image: Path | None = None,
    mask: Path | None = None,
) -> str:
    """The prompt where `inpaint.prompt` is empty.  Raises: PictureError."""
    picture, mask = _picture_and_mask(settings, workspace, image, mask)
    canvas = make_canvas(picture, mask, settings.inpaint, *drawn_at(settings, host))
    return _prompt(settings, workspace, canvas, mask, image is None)


def _picture_and_mask(
    settings: Settings, workspace: Workspace, image: Path | None, mask: Path | None
) -> tuple[Path, Path | None]:
    """The picture, and the mask, which is None where all is redrawn.  Raises: PictureError."""
    picture = image or workspace.prepared
    if not picture.exists():
        raise PictureError(
            f"{picture}: found no such picture, expected one to inpaint; call 'prepare' first or"
            " give --image"
        )
    if settings.inpaint.redraw == "whole picture":
        return picture, None
    mask = mask or default_mask(workspace, picture, image is None)
    if not mask.exists():
        raise PictureError(
            f"{mask}: found no such mask, expected a picture in which white is redrawn; check"
            " --mask"
        )
    return picture, mask


def _prompt(
    settings: Settings, workspace: Workspace, canvas: Canvas, mask: Path | None, prepared: bool
) -> str:
    """The prompt for a part.  prepared: True for the prepared picture, whose clothes are known."""
    if not prepared:
        return region_prompt(settings, workspace)
    box = canvas.box or (0, 0, *picture_size(workspace.prepared))
    return region_prompt(settings, workspace, mask, box)


def _sheet(canvas: Canvas, paths: list[Path], prompt: str) -> Image.Image:
    """The batch beside the original and the mask: the drawn part and what is around it."""
    cells: list[Cell | None] = [Cell((before(canvas),), "original")]
    if canvas.painted is not None:
        cells.append(Cell((masked(canvas),), "mask"))
    for path in paths:
        name = f"seed {path.stem}" if path.stem.isdigit() else path.stem
        cells.append(Cell((after(canvas, read_rgb(path)),), name))
    columns = min(4, len(cells))
    cells += [None] * (-len(cells) % columns)
    rows = tuple(tuple(cells[i : i + columns]) for i in range(0, len(cells), columns))
    grid = Grid("", ("",) * len(rows), ("",) * columns, rows)
    title = "Redrawn" if canvas.painted is None else "Inpainted"
    side = max(before(canvas).size)
    return draw_sheet(title, prompt, [grid], max(128, min(256, side)))
