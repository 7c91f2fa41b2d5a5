"""Plot: every epoch × strength × preset on one sheet, beside the checkpoint without the LoRA."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image

from ..errors import LoraFileError, SettingsError
from ..evaluation.page import PageCell, write_page
from ..evaluation.sheets import Cell, Grid, draw_sheet
from ..host import GeneratedImage, Host, ImageRequest, LoraUse
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..lora.bake import bake
from ..lora.files import read_lora, save_lora
from ..naming.presets import parse_block_weights
from ..settings import Settings
from ..workspace import Workspace, file_hash, fingerprint, write_bytes
from .continuing import begin, finish
from .crop import training_resolution
from .publishing import publish
from .recommending import Judgement, Place, Recommendation, judge, reason, recommend, recommendation_from
from .train import epoch_files


@dataclass(frozen=True)
class Plotted:
    """sheet: PNG.  page: HTML that links the full-size pictures."""

    sheet: Path
    page: Path
    recommendation: Recommendation | None


def seeds_of(settings: Settings) -> tuple[int, ...]:
    """The seeds of a cell: one number is a count from `plot.first_seed` on, several are the seeds themselves.

    Raises: SettingsError, for none.
    """
    given = settings.plot.seeds
    if not given or given == (0,):
        raise SettingsError("plot.seeds: found none, expected a count such as 2, or seeds such as 11,12,13")
    return given if len(given) > 1 else tuple(settings.plot.first_seed + i for i in range(given[0]))


def chosen_epochs(settings: Settings, files: dict[int, Path]) -> dict[int, Path]:
    """The epochs to plot.  Raises: LoraFileError, when one is not there; SettingsError, for something else."""
    if not files:
        raise LoraFileError("found no trained epochs in model/, expected LoRA files; call 'train' first")
    text = settings.plot.epochs.strip()
    if text in ("", "all"):
        return files
    chosen = {}
    for piece in text.split(","):
        if not piece.strip().isdigit():
            raise SettingsError(f"plot.epochs: found {text!r}, expected 'all' or numbers such as 2,4,6")
        epoch = int(piece)
        if epoch not in files:
            there = ", ".join(map(str, files))
            raise LoraFileError(f"epoch {epoch}: found no file of it in model/, expected one of {there}; choose one of these")
        chosen[epoch] = files[epoch]
    return chosen


def default_prompt(settings: Settings) -> str:
    """What the pictures show when nothing is asked for: the character, plainly."""
    character = settings.character
    return f"{character.trigger}, {character.class_token}, solo, upper body, looking at viewer, simple background"


def plot(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False) -> Plotted:
    """Draw the sheet; cells that were drawn before with the same LoRA, strength, prompt and seed are taken from disk.

    Raises: LoraFileError, PresetError, SettingsError; JobCancelled, keeping the cells that are drawn.
    """
    epochs, seeds = chosen_epochs(settings, epoch_files(workspace, settings)), seeds_of(settings)
    if not settings.plot.strengths or not settings.plot.presets:
        raise SettingsError("plot.strengths and plot.presets: found none, expected at least one of each")
    size, options = training_resolution(settings, host), settings.plot
    request = ImageRequest(options.prompt or default_prompt(settings), seeds, size, size, options.negative_prompt,
                           options.sampler, options.steps, options.cfg_scale, settings.training.clip_skip)
    hashes = {epoch: file_hash(path) for epoch, path in epochs.items()}
    mark = fingerprint(vars(options), seeds, hashes, host.checkpoint.sha256, request.prompt, size, settings.training.clip_skip)
    sheet, page = workspace.plots / "sheet.png", workspace.plots / "sheet.html"
    record, done = begin(workspace, "plot", mark, force)
    if done and sheet.exists() and page.exists():
        return Plotted(sheet, page, recommendation_from(record.data.get("recommendation")))
    publish(settings, workspace, host, epochs)
    places = _places(settings, workspace, epochs)
    drawn = _draw(places, request, workspace, host, job, hashes, force)
    publish(settings, workspace, host, epochs, {p.epoch: paths[0] for p, paths in drawn.items() if p.epoch})
    judged = judge(settings, workspace, host, drawn, request.prompt)
    best = recommend(judged)
    text = f"{host.checkpoint.name} · {request.prompt} · {options.sampler}, {options.steps} steps, CFG {options.cfg_scale:g}, " \
           f"seeds {', '.join(map(str, seeds))}"
    title = f"{settings.character.trigger}: epochs and strengths"
    pictures = _sheet(title, text, places, drawn, judged, best, settings, size)
    write_bytes(sheet, png_bytes(pictures))
    cells = [PageCell(_name(p), p.preset, p.epoch, p.strength, tuple(paths), judged[p].note, judged[p].look.broken,
                      best is not None and p == best) for p, paths in drawn.items()]
    write_page(page, title, text, cells, workspace.prepared, reason(best, judged) if best else "")
    recommendation = None
    if best is not None and best.lora is not None:
        recommendation = Recommendation(best.epoch, best.strength, best.preset, epochs[best.epoch], reason(best, judged))
        record.data["recommendation"] = {**asdict(recommendation), "lora": str(recommendation.lora)}
    for path in (sheet, page):
        workspace.note_file(record, path)
    finish(workspace, record, [sheet, page])
    return Plotted(sheet, page, recommendation)


def _places(settings: Settings, workspace: Workspace, epochs: dict[int, Path]) -> list[Place]:
    """Cells in the order that changes the model least: file by file, preset by preset, strength by strength."""
    places = [Place(0, 0.0, "", None)]
    for epoch, path in epochs.items():
        for preset in settings.plot.presets:
            file = path if preset == "ALL" else _baked(path, preset, workspace)
            places += [Place(epoch, strength, preset, file) for strength in settings.plot.strengths]
    return places


def _baked(path: Path, preset: str, workspace: Workspace) -> Path:
    """A copy of the LoRA with the block weights multiplied in; any host loads it at any strength."""
    lora = read_lora(path)
    weights = parse_block_weights(preset, lora.layout)
    target = workspace.plots / "baked" / f"{path.stem}-{fingerprint(file_hash(path), str(weights))}.safetensors"
    if not target.exists():
        save_lora(target, bake(lora, weights, 1.0))
    return target


def _draw(places: Iterable[Place], request: ImageRequest, workspace: Workspace, host: Host, job: Job,
          hashes: dict[int, str], force: bool) -> dict[Place, list[Path]]:
    places = list(places)
    drawn: dict[Place, list[Path]] = {}
    for index, place in enumerate(places):
        job.raise_if_cancelled()
        job.report(Progress("plot", index, len(places), _name(place)))
        what = (hashes.get(place.epoch), place.strength, place.preset, asdict(replace(request, seeds=())), host.checkpoint.sha256)
        paths = {seed: workspace.plots / "cells" / f"{fingerprint(what)}-{seed}.png" for seed in request.seeds}
        missing = tuple(seed for seed, path in paths.items() if force or not path.exists())
        if missing:
            uses = (LoraUse(place.lora, place.strength, place.strength),) if place.lora else ()
            for picture in host.generate(replace(request, seeds=missing, loras=uses), job):
                save_picture(paths[picture.seed], picture)
        drawn[place] = list(paths.values())
        job.report(Progress("plot", index + 1, len(places), _name(place), pictures=tuple(paths.values())))
    return drawn


def save_picture(path: Path, picture: GeneratedImage) -> None:
    """PNG with the parameters in the text where the WebUI's PNG Info reads them."""
    write_bytes(path, png_bytes(picture.image, picture.parameters))


def _name(place: Place) -> str:
    return f"epoch {place.epoch}, {place.preset} at {place.strength:g}" if place.epoch else "without the LoRA"


def _sheet(title: str, text: str, places: list[Place], drawn: dict[Place, list[Path]], judged: dict[Place, Judgement],
           best: Place | None, settings: Settings, size: int) -> Image.Image:
    def cell(place: Place) -> Cell:
        images = []
        for path in drawn[place]:
            with Image.open(path) as image:
                images.append(image.convert("RGB"))
        return Cell(tuple(images), judged[place].look.broken or judged[place].note, place == best)

    base, strengths = places[0], settings.plot.strengths
    grids = [Grid("The checkpoint without the LoRA", ("base",), ("",), ((cell(base),),))]
    by_key = {(p.preset, p.epoch, p.strength): p for p in places}
    epochs = sorted({p.epoch for p in places if p.epoch})
    for preset in settings.plot.presets:
        rows = tuple(tuple(cell(by_key[(preset, epoch, s)]) for s in strengths) for epoch in epochs)
        heading = f"Blocks: {preset}" + ("; green: recommended" if best and best.preset == preset else "")
        grids.append(Grid(heading, tuple(f"epoch {e}" for e in epochs), tuple(f"strength {s:g}" for s in strengths), rows))
    return draw_sheet(title, text, grids, max(128, min(256, size)))
