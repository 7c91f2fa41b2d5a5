"""Inpaint: a masked part redrawn with the trained LoRA, or all of a picture (img2img)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from PIL import Image

from ..crops.buckets import training_resolution
from ..errors import PictureError
from ..files.fileio import file_hash, fingerprint, write_bytes, write_json
from ..host import Fill, Host, ImageRequest, LoraUse
from ..imaging.boxes import PixelBox
from ..imaging.load import over_white, picture_size, read_rgb
from ..imaging.png import png_bytes, save_picture
from ..imaging.upscale import choose_upscaler
from ..jobs import Progress
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
from .inpaint_prompt import region_prompt

HOW = "how.json"  # lies in a batch's folder and says what made it


@dataclass(frozen=True)
class InpaintResult:
    """A batch.

    pictures: one a seed.
    sheet: the batch beside the original.
    mask: None where the whole picture was redrawn.
    prompt: the one that was used.
    notes: how the mask was read, where that may not be what was meant.
    """

    pictures: tuple[Path, ...]
    sheet: Path
    mask: Path | None
    prompt: str
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "inpainted": [str(path) for path in self.pictures],
            "inpaint_sheet": str(self.sheet),
            "inpaint_mask": str(self.mask) if self.mask else None,
            "inpaint_prompt": self.prompt,
            "inpaint_notes": list(self.notes),
        }


def inpaint(
    context: StageContext, image: Path | None = None, mask: Path | None = None
) -> InpaintResult:
    """Redraw the masked part of a picture, or all of it.

    image: default the prepared picture.
    mask: white is redrawn; default the character's head, written to inpaint/mask.png to be edited.
    Raises: PictureError, for a mask of another size; LoraFileError, when nothing is trained;
        PresetError; ImageModelError, for an upscaler; JobCancelled.
    """
    settings = context.settings
    workspace = context.workspace
    host = context.host
    known = known_presets(settings, host)
    options, lora = chosen(settings, workspace)
    picture, mask = _picture_and_mask(settings, workspace, image, mask)
    canvas = make_canvas(picture, mask, options, *_drawn_at(settings, host))
    prompt = options.prompt or _prompt(settings, workspace, canvas, mask, image is None)
    sources = [file_hash(path) for path in (lora, picture, *([mask] if mask else []))]
    mark = fingerprint(
        vars(options),
        preset_key(options.preset, known),
        prompt,
        settings.training.clip_skip,
        settings.prepare.upscaler,
        host.checkpoint.sha256,
        *sources,
    )
    folder = workspace.inpaint / mark[:8]
    seeds = [(options.seed + index) % SEEDS for index in range(options.count)]
    paths = [folder / f"{seed}.png" for seed in seeds]
    sheet = folder / "sheet.png"
    how = folder / HOW
    record, done = begin(workspace, "inpaint", mark, context.force)
    if done and all(path.exists() for path in (*paths, sheet, how)):
        return InpaintResult(tuple(paths), sheet, mask, prompt, canvas.notes)
    publish(settings, workspace, host, epoch_files(workspace, settings))
    baked = bake_preset(lora, None, options.preset, workspace, known, host.checkpoint.path)
    use = LoraUse(baked, options.strength, options.strength)
    request = request_for(canvas, prompt, options, settings.training.clip_skip, (use,))
    _draw(context, canvas, request, seeds, paths)
    write_bytes(sheet, png_bytes(_sheet(canvas, paths, prompt)))
    write_json(how, _how_made(options, host, prompt, picture, mask, lora))
    # Earlier batches are the user's to keep: they are taken out of the record, so that `finish`
    # does not remove them.
    record.files = {}
    files_of_batch = [*paths, sheet, how]
    for path in files_of_batch:
        workspace.note_file(record, path)
    finish(workspace, record, files_of_batch)
    return InpaintResult(tuple(paths), sheet, mask, prompt, canvas.notes)


def chosen(settings: Settings, workspace: Workspace) -> tuple[InpaintSettings, Path]:
    """The settings with strength and block weights as they will be used, and the LoRA file.

    Raises: LoraFileError.
    """
    options = settings.inpaint
    lora, strength, preset = choose_use(
        settings, workspace, options.lora, options.strength, options.preset
    )
    return replace(options, strength=strength, preset=preset), lora


def request_for(
    canvas: Canvas,
    prompt: str,
    options: InpaintSettings,
    clip_skip: int,
    loras: tuple[LoraUse, ...],
) -> ImageRequest:
    """The request that redraws a canvas, without its seeds."""
    return ImageRequest(
        prompt,
        (),
        canvas.image.width,
        canvas.image.height,
        options.negative_prompt,
        options.sampler,
        options.steps,
        options.cfg_scale,
        clip_skip,
        loras,
        canvas.image,
        canvas.hole,
        options.denoise,
        cast(Fill, options.fill),
        hard_edge=True,
    )


def _draw(
    context: StageContext,
    canvas: Canvas,
    request: ImageRequest,
    seeds: list[int],
    paths: list[Path],
) -> None:
    """Draw the pictures that are missing, one a seed, each into its file."""
    job = context.job
    options = context.settings.inpaint
    upscaler = choose_upscaler(
        context.settings.prepare.upscaler,
        context.host.upscalers(),
        lambda done, total: job.raise_if_cancelled(),
    )
    for index, (seed, path) in enumerate(zip(seeds, paths, strict=True)):
        job.raise_if_cancelled()
        job.report(Progress("inpaint", index, len(paths), f"picture {index + 1} of {len(paths)}"))
        if context.force or not path.exists():
            drawn = context.host.generate(replace(request, seeds=(seed,)), job)[0]
            parameters = drawn.parameters
            if canvas.seam is not None:  # as the WebUI writes it
                parameters += f", Mask blur: {options.mask_blur}"
            if canvas.box:
                parameters += f", Inpaint area: Only masked, Masked area padding: {options.padding}"
            finished = canvas.result(drawn.image, upscaler)
            save_picture(path, replace(drawn, image=finished, parameters=parameters))
        job.report(Progress("inpaint", index + 1, len(paths), pictures=(path,)))


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


def _drawn_at(settings: Settings, host: Host) -> tuple[int, bool]:
    """(the side of the square whose area is drawn, pixels; whether squares are drawn best)."""
    return training_resolution(settings, host), not settings.training.buckets


def suggested_prompt(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    image: Path | None = None,
    mask: Path | None = None,
) -> str:
    """The prompt where `inpaint.prompt` is empty.  Raises: PictureError."""
    picture, mask = _picture_and_mask(settings, workspace, image, mask)
    canvas = make_canvas(picture, mask, settings.inpaint, *_drawn_at(settings, host))
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
    around = _around(canvas)
    original = over_white(canvas.whole).crop(around)
    cells: list[Cell | None] = [Cell((original,), "original")]
    if canvas.painted is not None:
        red = Image.blend(original, Image.new("RGB", original.size, (220, 38, 38)), 0.45)
        masked = Image.composite(red, original, canvas.painted.crop(around))
        cells.append(Cell((masked,), "mask"))
    drawn = [read_rgb(path) for path in paths]
    cells += [
        Cell((picture.crop(around) if canvas.box else picture,), f"seed {path.stem}")
        for path, picture in zip(paths, drawn, strict=True)
    ]
    columns = min(4, len(cells))
    cells += [None] * (-len(cells) % columns)
    rows = tuple(tuple(cells[i : i + columns]) for i in range(0, len(cells), columns))
    grid = Grid("", ("",) * len(rows), ("",) * columns, rows)
    title = "Redrawn" if canvas.painted is None else "Inpainted"
    return draw_sheet(title, prompt, [grid], max(128, min(256, max(original.size))))


def _around(canvas: Canvas) -> PixelBox:
    """The drawn part and as much beside it as shows that it fits in."""
    left, top, right, bottom = canvas.shown
    margin = max(right - left, bottom - top) // 4
    width, height = canvas.whole.size
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(width, right + margin),
        min(height, bottom + margin),
    )
