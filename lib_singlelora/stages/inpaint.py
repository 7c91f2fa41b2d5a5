"""Inpaint: a picture, a mask and a prompt to a batch, with the trained LoRA."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..dataset.buckets import fit_to_bucket, make_buckets, nearest_bucket
from ..errors import LoraFileError, PictureError
from ..evaluation.sheets import Cell, Grid, draw_sheet
from ..host import Fill, Host, ImageRequest, LoraUse
from ..imaging.load import load_picture
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..settings import Settings
from ..workspace import Workspace, file_hash, fingerprint, write_bytes
from .continuing import begin, finish
from .crop import training_resolution, view_box
from .plot import save_picture
from .publishing import publish
from .recommending import saved_recommendation
from .train import epoch_files


@dataclass(frozen=True)
class Inpainted:
    """pictures: the batch.  sheet: the batch beside the original."""

    pictures: tuple[Path, ...]
    sheet: Path
    mask: Path


def inpaint(settings: Settings, workspace: Workspace, host: Host, job: Job, image: Path | None = None,
            mask: Path | None = None, force: bool = False) -> Inpainted:
    """Redraw the masked part of a picture.

    image: default the prepared picture.  mask: white is redrawn; default her head, written to inpaint/mask.png to be edited.
    Raises: PictureError, for a mask of another size; LoraFileError, when nothing is trained; JobCancelled.
    """
    options = settings.inpaint
    files = epoch_files(workspace, settings)
    best = saved_recommendation(workspace)
    if not files and best is None:
        raise LoraFileError(f"{workspace.models}: found no LoRA, expected a trained one; call 'train' first")
    lora = best.lora if best else files[max(files)]
    picture = image or workspace.prepared
    if not picture.exists():
        raise PictureError(f"{picture}: found no such picture, expected one to inpaint; call 'prepare' first or give --image")
    mask = mask or default_mask(workspace, picture, image is None)
    if not mask.exists():
        raise PictureError(f"{mask}: found no such mask, expected a picture in which white is redrawn; check --mask")
    prompt = options.prompt or f"{settings.character.trigger}, {settings.character.class_token}, solo, looking at viewer"
    mark = fingerprint(vars(options), prompt, settings.training.clip_skip, host.checkpoint.sha256,
                       *map(file_hash, (lora, picture, mask)))
    folder = workspace.inpaint / mark[:8]
    paths = [folder / f"{options.seed + index}.png" for index in range(options.count)]
    sheet = folder / "sheet.png"
    record, done = begin(workspace, "inpaint", mark, force)
    if done and all(path.exists() for path in (*paths, sheet)):
        return Inpainted(tuple(paths), sheet, mask)
    publish(settings, workspace, host, files)
    original, hole = _fitted(picture, mask, training_resolution(settings, host))
    fill: Fill = "latent noise" if options.fill == "latent noise" else "original"
    request = ImageRequest(prompt, (), original.width, original.height, options.negative_prompt, options.sampler, options.steps,
                           options.cfg_scale, settings.training.clip_skip, (LoraUse(lora, options.strength, options.strength),),
                           original, hole, options.denoise, fill)
    for index, path in enumerate(paths):
        job.raise_if_cancelled()
        job.report(Progress("inpaint", index, len(paths), f"picture {index + 1} of {len(paths)}"))
        if force or not path.exists():
            save_picture(path, host.generate(replace(request, seeds=(options.seed + index,)), job)[0])
        job.report(Progress("inpaint", index + 1, len(paths), pictures=(path,)))
    write_bytes(sheet, png_bytes(_sheet(original, hole, paths, prompt)))
    # Earlier batches are the user's to keep: they are not this record's files, so that finishing does not remove them.
    record.files = {}
    for path in (*paths, sheet):
        workspace.note_file(record, path)
    finish(workspace, record, [*paths, sheet])
    return Inpainted(tuple(paths), sheet, mask)


def default_mask(workspace: Workspace, picture: Path, own_picture: bool = True) -> Path:
    """inpaint/mask.png over her head, made if it is not there.  Raises: PictureError, for another picture than the prepared."""
    path = workspace.inpaint / "mask.png"
    if not own_picture:
        raise PictureError(f"{picture}: found no mask for it, expected --mask FILE of the same size (white is redrawn)")
    if path.exists():
        return path
    with Image.open(picture) as image:
        size = image.size
    box = view_box(workspace, "face") or view_box(workspace, "portrait") or (size[0] // 4, 0, size[0] * 3 // 4, size[1] // 3)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    write_bytes(path, png_bytes(mask))
    return path


def _fitted(picture: Path, mask: Path, resolution: int) -> tuple[Image.Image, Image.Image]:
    """Picture and mask in the nearest bucket's size."""
    image, hole = load_picture(picture).image, load_picture(mask, smallest=1).image.convert("L")
    if image.size != hole.size:
        raise PictureError(f"{mask.name}: found {hole.width}x{hole.height}, expected the picture's {image.width}x{image.height}; "
                           "paint the mask over the same picture")
    if not np.asarray(hole).any():
        raise PictureError(f"{mask.name}: found an empty mask, expected some white; paint white what is to be redrawn")
    bucket = nearest_bucket(image.size, make_buckets(resolution))
    fitted = fit_to_bucket(hole, bucket)
    # A hole smaller than one latent cell would vanish in the latents; it is widened to one.
    cells = np.asarray(fitted.resize((bucket[0] // 8, bucket[1] // 8), Image.Resampling.BOX))
    if cells.max() < 128:
        fitted = fitted.filter(ImageFilter.MaxFilter(9))
    return fit_to_bucket(image, bucket), fitted


def _sheet(original: Image.Image, hole: Image.Image, paths: list[Path], prompt: str) -> Image.Image:
    marked = Image.composite(Image.blend(original, Image.new("RGB", original.size, (220, 38, 38)), 0.45), original, hole)
    cells: list[Cell | None] = [Cell((original,), "original"), Cell((marked,), "mask")]
    for path in paths:
        with Image.open(path) as image:
            cells.append(Cell((image.convert("RGB"),), f"seed {path.stem}"))
    columns = min(4, len(cells))
    cells += [None] * (-len(cells) % columns)
    rows = tuple(tuple(cells[i:i + columns]) for i in range(0, len(cells), columns))
    grid = Grid("", ("",) * len(rows), ("",) * columns, rows)
    return draw_sheet("Inpainted", prompt, [grid], max(128, min(256, max(original.size))))
