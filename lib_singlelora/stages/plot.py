"""Plot: every combination of epoch, strength, preset and what else is asked for on one sheet, beside the checkpoint alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..evaluation.page import Page, PageCell, PageTable, write_page
from ..evaluation.sheets import Cell, Grid, draw_sheet
from ..host import GeneratedImage, Host, ImageRequest, LoraUse
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..settings import Settings
from ..workspace import Workspace, file_hash, fingerprint, write_bytes, write_json
from .continuing import begin, finish
from .crop import training_resolution
from .plotting import Layout, beside_of, chosen_epochs, compared_files, lay_out, name_of, prompts_of, seeds_of
from .publishing import publish
from .recommending import Judgement, Place, Recommendation, judge, reason, recommend, recommendation_from
from .scoring import write_scores
from .train import epoch_files
from .weighting import known_presets, spelled

Drawn = Mapping[Place, Sequence[Path]]


@dataclass(frozen=True)
class Plotted:
    """sheet: PNG.  page: HTML that links the full-size pictures."""

    sheet: Path
    page: Path
    recommendation: Recommendation | None


@dataclass(frozen=True)
class Plan:
    """What a call would draw.  seconds: expected, None where nothing was drawn on this machine yet."""

    pictures: int
    missing: int
    seconds: float | None

    @property
    def sentence(self) -> str:
        """In words."""
        time_told = "" if self.seconds is None else f", about {in_words(self.seconds)}"
        return f"{self.missing} of {self.pictures} pictures to draw{time_told}"


@dataclass(frozen=True)
class _Work:
    """One sheet: its request, its places, and the file of each picture."""

    request: ImageRequest
    layout: Layout
    seeds: tuple[int, ...]
    files: Mapping[Place, Mapping[int, Path]]
    refine_denoise: float = 0.5

    def missing(self, place: Place, force: bool = False) -> tuple[int, ...]:
        """The seeds of a place that are not drawn."""
        return tuple(seed for seed, path in self.files[place].items() if force or not path.exists())


def plot(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False) -> Plotted:
    """Draw the sheet; cells that were drawn before with the same LoRA, strength, prompt and seed are taken from disk.

    Raises: LoraFileError, PresetError, SettingsError; JobCancelled, keeping the cells that are drawn.
    """
    own, others = chosen_epochs(settings, epoch_files(workspace, settings)), compared_files(settings, workspace)
    epochs, seeds = {**own, **{number: path for number, (_, path) in others.items()}}, seeds_of(settings)
    size, options = training_resolution(settings, host), settings.plot
    hashes = {epoch: file_hash(path) for epoch, path in epochs.items()}
    prompts = prompts_of(settings, workspace)
    known = known_presets(settings, host)
    mark = fingerprint(vars(options), [spelled(preset, known) for preset in options.presets], vars(settings.judge), seeds, hashes,
                       host.checkpoint.sha256, prompts, size, settings.training.clip_skip)
    sheet, page = workspace.plots / "sheet.png", workspace.plots / "sheet.html"
    record, done = begin(workspace, "plot", mark, force)
    if done and sheet.exists() and page.exists():
        return Plotted(sheet, page, recommendation_from(record.data.get("recommendation")))
    work = _work(settings, workspace, host, epochs, hashes, size)
    publish(settings, workspace, host, own)
    drawn = _draw(work, workspace, host, job, force)
    publish(settings, workspace, host, own, _previews(work, drawn))
    judged, best, why, scores = _judged(settings, workspace, host, job, drawn)
    recommendation = None
    if best is not None and best.lora is not None:
        recommendation = Recommendation(best.epoch, best.strength, best.preset, epochs[best.epoch], why)
        record.data["recommendation"] = {**asdict(recommendation), "lora": str(recommendation.lora)}
    head = _head(settings, host, work)
    _write_sheet(sheet, head, work, drawn, judged, best, why, workspace, size)
    _write_page(page, head, work, drawn, judged, best, why, workspace)
    for path in (sheet, page, *scores):
        workspace.note_file(record, path)
    finish(workspace, record, [sheet, page, *scores])
    return Plotted(sheet, page, recommendation)


def plan(settings: Settings, workspace: Workspace, host: Host) -> Plan:
    """How much a call would draw and how long that takes.  Raises: as `plot`."""
    others = compared_files(settings, workspace)
    epochs = chosen_epochs(settings, epoch_files(workspace, settings))
    epochs = {**epochs, **{number: path for number, (_, path) in others.items()}}
    hashes = {epoch: file_hash(path) for epoch, path in epochs.items()}
    work = _work(settings, workspace, host, epochs, hashes, training_resolution(settings, host))
    return _plan(work, workspace, host, False)


def _work(settings: Settings, workspace: Workspace, host: Host, epochs: dict[int, Path], hashes: Mapping[int, str],
          size: int) -> _Work:
    options, seeds, known = settings.plot, seeds_of(settings), known_presets(settings, host)
    labels = {number: label for number, (label, _) in compared_files(settings, workspace).items()}
    layout = lay_out(settings, workspace, host, epochs, labels)
    request = ImageRequest("", seeds, size, size, steps=options.steps)
    files = {}
    # What is redrawn needs the picture as it was, whether that is on the sheet or not.
    for place in dict.fromkeys((*layout.places, *(replace(place, refine=0.0) for place in layout.places))):
        asked = _request(request, place)
        again = (place.refine, options.refine_denoise) if place.refine else ()
        what = (hashes.get(place.epoch), place.strength, spelled(place.preset, known), asdict(replace(asked, seeds=(), loras=())),
                (host.other_checkpoint(place.checkpoint) if place.checkpoint else host.checkpoint).sha256, *again)
        files[place] = {seed: workspace.plots / "cells" / f"{fingerprint(what)}-{seed}.png" for seed in asked.seeds}
    return _Work(request, layout, seeds, files, options.refine_denoise)


def _request(request: ImageRequest, place: Place) -> ImageRequest:
    uses = (LoraUse(place.lora, place.strength, place.strength),) if place.lora else ()
    seeds = request.seeds if place.seed is None else (place.seed,)
    return replace(request, prompt=place.prompt, negative_prompt=place.negative_prompt, sampler=place.sampler,
                   cfg_scale=place.cfg_scale, clip_skip=place.clip_skip, seeds=seeds, loras=uses)


def _plan(work: _Work, workspace: Workspace, host: Host, force: bool) -> Plan:
    missing = sum(len(work.missing(place, force)) for place in work.files)
    pace = _pace(workspace).get(_pace_key(work.request, host))
    return Plan(sum(map(len, work.files.values())), missing, None if pace is None else round(pace * missing, 1))


def _draw(work: _Work, workspace: Workspace, host: Host, job: Job, force: bool) -> dict[Place, list[Path]]:
    """Every cell; each is shown at once, and what is on disk is not drawn again."""
    places, drawn, planned = work.layout.places, dict[Place, list[Path]](), _plan(work, workspace, host, force)
    job.report(Progress("plot", 0, len(places), planned.sentence))
    timed, swapped = _Stopwatch(), _Swapped(host)
    try:
        for index, place in enumerate(places):
            job.raise_if_cancelled()
            missing, paths = work.missing(place, force), list(work.files[place].values())
            if missing:
                swapped.to(place.checkpoint)
                job.report(Progress("plot", index, len(places), f"{name_of(place)}{timed.left(planned.missing)}"))
                with timed.measured(len(missing)):
                    _draw_cell(work, host, job, place, missing)
            drawn[place] = paths
            job.report(Progress("plot", index + 1, len(places), name_of(place), pictures=tuple(paths)))
    finally:
        swapped.to("")
        if timed.pace:
            key = _pace_key(work.request, host)
            write_json(_pace_file(workspace), {**_pace(workspace), key: round(timed.pace, 3)})
    return drawn


def _draw_cell(work: _Work, host: Host, job: Job, place: Place, seeds: tuple[int, ...]) -> None:
    """A cell's pictures of these seeds, saved; what is redrawn starts from the pictures as they were."""
    request = replace(_request(work.request, place), seeds=seeds)
    if not place.refine:
        for picture in host.generate(request, job):
            save_picture(work.files[place][picture.seed], picture)
        return
    first = replace(place, refine=0.0)
    if lacking := tuple(seed for seed in seeds if not work.files[first][seed].exists()):
        _draw_cell(work, host, job, first, lacking)
    uses = (LoraUse(place.lora, place.refine, place.refine),) if place.lora else ()
    for seed in seeds:
        with Image.open(work.files[first][seed]) as image:
            again = replace(request, seeds=(seed,), loras=uses, image=image.convert("RGB"), denoise=work.refine_denoise)
        save_picture(work.files[place][seed], host.generate(again, job)[0])


class _Swapped:
    """Which checkpoint the host draws with.  It is changed only where a cell wants another one."""

    def __init__(self, host: Host) -> None:
        self._host, self._stack, self._name = host, ExitStack(), ""

    def to(self, name: str) -> None:
        """Draw with this one from now on; '' is the one that was loaded at first."""
        if name == self._name:
            return
        self._stack.close()
        self._name = ""
        if name:
            self._stack.enter_context(self._host.drawing_with(name))
            self._name = name


class _Stopwatch:
    """Seconds a picture, without the first call, which also loads the networks."""

    def __init__(self) -> None:
        self.made, self._timed, self._seconds = 0, 0, 0.0

    @contextmanager
    def measured(self, pictures: int) -> Iterator[None]:
        """Time one call."""
        started = time.monotonic()
        yield
        if self.made:
            self._seconds += time.monotonic() - started
            self._timed += pictures
        self.made += pictures

    @property
    def pace(self) -> float:
        """Seconds a picture, 0 while unknown."""
        return self._seconds / self._timed if self._timed else 0.0

    def left(self, of: int) -> str:
        """How long the rest takes, in words."""
        return f"; {in_words(self.pace * (of - self.made))} left" if self.pace else ""


def in_words(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _pace_key(request: ImageRequest, host: Host) -> str:
    return f"{host.name} {host.checkpoint.sha256[:10]} {request.width}x{request.height} {request.steps} steps"


def _pace_file(workspace: Workspace) -> Path:
    return workspace.root / "log" / "pace.json"


def _pace(workspace: Workspace) -> dict[str, float]:
    """Seconds of a picture, as earlier sheets measured them."""
    try:
        found = json.loads(_pace_file(workspace).read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _previews(work: _Work, drawn: Drawn) -> dict[int, Path]:
    """Of each epoch its last cell's first picture of those that are compared."""
    return {place.epoch: paths[0] for place, paths in drawn.items() if place.epoch and place in work.layout.main}


def _judged(settings: Settings, workspace: Workspace, host: Host, job: Job,
            drawn: Drawn) -> tuple[dict[Place, Judgement], Place | None, str, list[Path]]:
    """(judgement of every cell, the recommended one, the reason, the files with the figures).

    What is recommended is compared over all seeds, for the first of all else; only there are further prompts tried.
    """
    groups: dict[Any, dict[Place, list[Path]]] = {}
    for place, paths in drawn.items():  # each with its own cells without the LoRA
        groups.setdefault(beside_of(place), {})[place] = list(paths)
    judged: dict[Place, Judgement] = {}
    compared: dict[Place, Judgement] = {}
    for own in groups.values():
        one = next(iter(own))
        prompt, first = one.prompt, not compared
        pooled: dict[Place, list[Path]] = {}
        for place, paths in own.items():
            pooled.setdefault(replace(place, seed=None), []).extend(paths)
        whole = pooled.keys() == own.keys()
        with host.drawing_with(one.checkpoint) if one.checkpoint else nullcontext():
            seen = judge(settings, workspace, host, own, prompt, job, probing=first and whole)
            judged |= seen
            if first:
                compared = seen if whole else judge(settings, workspace, host, pooled, prompt, job)
    best = recommend(compared)
    scores = write_scores(settings, workspace, {**compared, **judged}, best)
    return judged, best, reason(best, compared) if best else "", scores


def save_picture(path: Path, picture: GeneratedImage) -> None:
    """PNG with the parameters in the text where the WebUI's PNG Info reads them."""
    write_bytes(path, png_bytes(picture.image, picture.parameters))


def _is(place: Place, best: Place | None) -> bool:
    return best is not None and replace(place, seed=None) == best


def _head(settings: Settings, host: Host, work: _Work) -> tuple[str, str]:
    """Title, and how the pictures were made."""
    options, several, first = settings.plot, len(work.layout.prompts) > 1, work.layout.places[0]
    beside = [place for place in work.layout.places if not place.epoch]
    pieces = [host.checkpoint.name, f"{len(work.layout.prompts)} prompts" if several else first.prompt]
    if len({place.sampler for place in beside}) == 1:
        pieces.append(first.sampler)
    pieces.append(f"{options.steps} steps")
    if len({place.cfg_scale for place in beside}) == 1:
        pieces.append(f"CFG {first.cfg_scale:g}")
    pieces.append(f"seeds {', '.join(map(str, work.seeds))}")
    return f"{settings.character.trigger}: {title_of(options.y)} and {title_of(options.x)}", " · ".join(pieces)


def title_of(axis: str) -> str:
    """An axis in words, for a title."""
    return {"epoch": "epochs", "strength": "strengths", "preset": "block presets", "cfg_scale": "CFG scales", "none": "pictures",
            "search_replace": "words", "refine": "redrawings"}.get(axis, f"{axis.replace('_', ' ')}s")


def _write_sheet(path: Path, head: tuple[str, str], work: _Work, drawn: Drawn, judged: Mapping[Place, Judgement],
                 best: Place | None, why: str, workspace: Workspace, size: int) -> None:
    def cell(place: Place, label: str = "") -> Cell:
        images = []
        for file in drawn[place]:
            with Image.open(file) as image:
                images.append(image.convert("RGB"))
        note = judged[place].look.broken or judged[place].note
        return Cell(tuple(images), f"{label}: {note}" if label else note, _is(place, best))

    layout = work.layout
    with Image.open(workspace.prepared) as image:
        source = image.convert("RGB")
        source.thumbnail((512, 512))
    first = [Cell((source,), "the picture"), *(cell(place, label) for label, place in layout.base)]
    columns = max(4, *(len(table.columns) for table in layout.tables))
    rows = [first[i:i + columns] for i in range(0, len(first), columns)]
    width = max(map(len, rows))
    grids = [Grid("The picture, and the checkpoint without the LoRA", ("",) * len(rows), ("",) * width,
                  tuple((*row, *[None] * (width - len(row))) for row in rows))]
    for table in layout.tables:
        cells = tuple(tuple(cell(layout.by_spot[spot]) for spot in row) for row in table.spots)
        grids.append(Grid(table.title, table.rows, table.columns, cells))
    legend = [f"{label}: {prompt}" for label, prompt in layout.prompts if label != prompt]
    legend += [f"Green frame, recommended: {why}."] if why else []
    with Image.open(drawn[layout.places[0]][0]) as image:
        parameters = str(image.info.get("parameters", ""))
    sheet = draw_sheet(*head, grids, max(128, min(256, size)), legend)
    write_bytes(path, png_bytes(sheet, parameters))


def _write_page(path: Path, head: tuple[str, str], work: _Work, drawn: Drawn, judged: Mapping[Place, Judgement],
                best: Place | None, why: str, workspace: Workspace) -> None:
    def cell(place: Place) -> PageCell:
        seen = judged[place]
        about = " · ".join(piece for piece in (place.sampler, f"CFG {place.cfg_scale:g}", f"clip skip {place.clip_skip}",
                                               place.negative_prompt and f"without: {place.negative_prompt}") if piece)
        return PageCell(name_of(replace(place, seed=None)), place.prompt, about, tuple(drawn[place]), tuple(work.files[place]),
                        {**seen.scores, "colours": seen.look.likeness}, seen.look.broken or seen.harm or seen.note,
                        seen.look.broken, _is(place, best), {**seen.traits, **seen.asked}, seen.copy.crop if seen.copy else None)

    layout = work.layout
    base = PageTable("Without the LoRA", ("",), tuple(label for label, _ in layout.base),
                     (tuple(cell(place) for _, place in layout.base),))
    own = [PageTable(table.title, table.rows, table.columns,
                     tuple(tuple(cell(layout.by_spot[spot]) for spot in row) for row in table.spots)) for table in layout.tables]
    write_page(path, Page(*head, (base, *own), workspace.prepared, why))
