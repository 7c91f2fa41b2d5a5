"""Plot: every combination of epoch, strength, preset and what else is asked for on one sheet,
beside the checkpoint alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..crops.buckets import training_resolution
from ..files.fileio import file_hash, fingerprint
from ..host import Host, ImageRequest, LoraUse
from ..imaging.load import read_rgb
from ..imaging.png import save_picture
from ..jobs import Job, Progress
from ..judge.cells import CellSpec, Judgement, LoraSource
from ..judge.recommend import judge, reason, recommend
from ..library.block_presets import known_presets, preset_key
from ..library.epochs import epoch_files
from ..library.publish import publish
from ..settings.schema import Settings
from ..workspace.recommendation import Recommendation, recommendation_from
from ..workspace.resume import begin, finish
from ..workspace.timing import Stopwatch, expected, in_words, keep
from ..workspace.workspace import Workspace
from .plot_layout import (
    Layout,
    beside_of,
    chosen_epochs,
    compared_files,
    lay_out,
    name_of,
    prompts_of,
    seeds_note,
    seeds_of,
)
from .plot_output import SheetContents, head_of, present_page, present_sheet
from .plot_scores import write_scores

Drawn = Mapping[CellSpec, Sequence[Path]]


@dataclass(frozen=True)
class PlotResult:
    """sheet: PNG.  page: HTML that links the full-size pictures."""

    sheet: Path
    page: Path
    recommendation: Recommendation | None


@dataclass(frozen=True)
class Plan:
    """What a call would draw.  seconds: expected, None where nothing was drawn on this machine yet.

    note: what of the settings was understood otherwise than it may be meant.
    """

    pictures: int
    missing: int
    seconds: float | None
    note: str = ""

    @property
    def sentence(self) -> str:
        """In words."""
        time_told = "" if self.seconds is None else f", about {in_words(self.seconds)}"
        return (
            f"{self.missing} of {self.pictures} pictures to"
            f" draw{time_told}{self.note and f'; {self.note}'}"
        )


@dataclass(frozen=True)
class _Work:
    """One sheet: its request, its places, and the file of each picture."""

    request: ImageRequest
    layout: Layout
    seeds: tuple[int, ...]
    files: Mapping[CellSpec, Mapping[int, Path]]
    refine_denoise: float = 0.5
    note: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a picture, pixels."""
        return self.request.width, self.request.height

    @property
    def seeds_by_place(self) -> dict[CellSpec, tuple[int, ...]]:
        """The seeds of each cell's pictures."""
        return {place: tuple(files) for place, files in self.files.items()}

    def missing(self, place: CellSpec, force: bool = False) -> tuple[int, ...]:
        """The seeds of a place that are not drawn."""
        return tuple(seed for seed, path in self.files[place].items() if force or not path.exists())


def plot(
    settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False
) -> PlotResult:
    """Draw the sheet; cells that were drawn before with the same LoRA, strength, prompt and seed
    are taken from disk.

    Raises: LoraFileError, PresetError, SettingsError; JobCancelled, keeping the cells that are
    drawn.
    """
    own, others = (
        chosen_epochs(settings, workspace, epoch_files(workspace, settings)),
        compared_files(settings, workspace),
    )
    sources = {**{LoraSource.epoch(epoch): path for epoch, path in own.items()}, **others}
    seeds = seeds_of(settings)
    size, options = training_resolution(settings, host), settings.plot
    hashes = {source.recorded_number: file_hash(path) for source, path in sources.items()}
    prompts = prompts_of(settings, workspace)
    known = known_presets(settings, host)
    mark = fingerprint(
        vars(options),
        [preset_key(preset, known) for preset in options.presets],
        vars(settings.judge),
        seeds,
        hashes,
        host.checkpoint.sha256,
        prompts,
        size,
        settings.training.clip_skip,
    )
    sheet, page = workspace.plots / "sheet.png", workspace.plots / "sheet.html"
    record, done = begin(workspace, "plot", mark, force)
    if done and sheet.exists() and page.exists():
        return PlotResult(
            sheet, page, recommendation_from(record.data.get("recommendation"), workspace)
        )
    work = _work(settings, workspace, host, sources, hashes, size)
    publish(settings, workspace, host, own)
    drawn = _draw(work, workspace, host, job, force)
    publish(settings, workspace, host, own, _previews(work, drawn))
    judged, best, why, scores = _judged(settings, workspace, host, job, drawn)
    recommendation = None
    if best is not None and best.lora is not None:
        recommendation = Recommendation(
            best.source.number, best.strength, best.preset, sources[best.source], why
        )
        record.data["recommendation"] = {**asdict(recommendation), "lora": str(recommendation.lora)}
    head = head_of(settings, host, work.layout, work.seeds)
    shown = SheetContents(*head, work.layout, drawn, work.seeds_by_place, judged, best, why)
    present_sheet(sheet, shown, workspace, size)
    present_page(page, shown, workspace)
    for path in (sheet, page, *scores):
        workspace.note_file(record, path)
    finish(workspace, record, [sheet, page, *scores])
    return PlotResult(sheet, page, recommendation)


def plan(settings: Settings, workspace: Workspace, host: Host) -> Plan:
    """How much a call would draw and how long that takes.  Raises: as `plot`."""
    others = compared_files(settings, workspace)
    epochs = chosen_epochs(settings, workspace, epoch_files(workspace, settings))
    sources = {**{LoraSource.epoch(epoch): path for epoch, path in epochs.items()}, **others}
    hashes = {source.recorded_number: file_hash(path) for source, path in sources.items()}
    work = _work(settings, workspace, host, sources, hashes, training_resolution(settings, host))
    return _plan(work, workspace, host, False)


def _work(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    sources: Mapping[LoraSource, Path],
    hashes: Mapping[int, str],
    size: int,
) -> _Work:
    options, seeds, known = settings.plot, seeds_of(settings), known_presets(settings, host)
    layout = lay_out(settings, workspace, host, sources)
    request = ImageRequest("", seeds, size, size, steps=options.steps)
    files = {}
    # What is redrawn needs the picture as it was, whether that is on the sheet or not.
    for place in dict.fromkeys(
        (*layout.places, *(replace(place, refine=0.0) for place in layout.places))
    ):
        asked = _request(request, place)
        again = (place.refine, options.refine_denoise) if place.refine else ()
        what = (
            hashes.get(place.source.recorded_number),
            place.strength,
            preset_key(place.preset, known),
            asdict(replace(asked, seeds=(), loras=())),
            (
                host.other_checkpoint(place.checkpoint) if place.checkpoint else host.checkpoint
            ).sha256,
            *again,
        )
        files[place] = {
            seed: workspace.plots / "cells" / f"{fingerprint(what)}-{seed}.png"
            for seed in asked.seeds
        }
    return _Work(request, layout, seeds, files, options.refine_denoise, seeds_note(settings))


def _request(request: ImageRequest, place: CellSpec) -> ImageRequest:
    uses = (LoraUse(place.lora, place.strength, place.strength),) if place.lora else ()
    seeds = request.seeds if place.seed is None else (place.seed,)
    return replace(
        request,
        prompt=place.prompt,
        negative_prompt=place.negative_prompt,
        sampler=place.sampler,
        cfg_scale=place.cfg_scale,
        clip_skip=place.clip_skip,
        seeds=seeds,
        loras=uses,
    )


def _plan(work: _Work, workspace: Workspace, host: Host, force: bool) -> Plan:
    missing = sum(len(work.missing(place, force)) for place in work.files)
    pace = expected(workspace, host, work.size, work.request.steps)
    return Plan(
        sum(map(len, work.files.values())),
        missing,
        None if pace is None else round(pace * missing, 1),
        work.note,
    )


def _draw(
    work: _Work, workspace: Workspace, host: Host, job: Job, force: bool
) -> dict[CellSpec, list[Path]]:
    """Every cell; each is shown at once, and what is on disk is not drawn again."""
    places, drawn, planned = (
        work.layout.places,
        dict[CellSpec, list[Path]](),
        _plan(work, workspace, host, force),
    )
    job.report(Progress("plot", 0, len(places), planned.sentence))
    timed, swapped = Stopwatch(), _Swapped(host)
    try:
        for index, place in enumerate(places):
            job.raise_if_cancelled()
            drawn[place] = list(work.files[place].values())
            missing = work.missing(place, force)
            # One by one, so that each is on disk and to be seen at once
            for number, seed in enumerate(missing, 1):
                swapped.to(place.checkpoint)
                of = f", picture {number} of {len(missing)}" if len(missing) > 1 else ""
                job.report(
                    Progress(
                        "plot",
                        index,
                        len(places),
                        f"{name_of(place)}{of}{timed.left(planned.missing)}",
                    )
                )
                with timed.measured(1, work.size[0] * work.size[1] * work.request.steps):
                    _draw_picture(work, host, job, place, seed)
                job.report(
                    Progress(
                        "plot",
                        index,
                        len(places),
                        name_of(place),
                        pictures=(work.files[place][seed],),
                    )
                )
            job.report(
                Progress(
                    "plot", index + 1, len(places), name_of(place), pictures=tuple(drawn[place])
                )
            )
    finally:
        swapped.to("")
        keep(workspace, host, timed, work.size, work.request.steps)
    return drawn


def _draw_picture(work: _Work, host: Host, job: Job, place: CellSpec, seed: int) -> None:
    """One picture of a cell, saved; what is redrawn starts from the picture as it was."""
    request = replace(_request(work.request, place), seeds=(seed,))
    if place.refine:
        first = replace(place, refine=0.0)
        if not work.files[first][seed].exists():
            _draw_picture(work, host, job, first, seed)
        uses = (LoraUse(place.lora, place.refine, place.refine),) if place.lora else ()
        request = replace(
            request,
            loras=uses,
            image=read_rgb(work.files[first][seed]),
            denoise=work.refine_denoise,
        )
    save_picture(work.files[place][seed], host.generate(request, job)[0])


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


def _previews(work: _Work, drawn: Drawn) -> dict[int, Path]:
    """Of each epoch its last cell's first picture of those that are compared."""
    return {
        place.source.number: paths[0]
        for place, paths in drawn.items()
        if place.source.is_epoch and place in work.layout.main
    }


def _judged(
    settings: Settings, workspace: Workspace, host: Host, job: Job, drawn: Drawn
) -> tuple[dict[CellSpec, Judgement], CellSpec | None, str, list[Path]]:
    """(judgement of every cell, the recommended one, the reason, the files with the figures).

    What is recommended is compared over all seeds, for the first of all else; only there are
    further prompts tried.
    """
    groups: dict[Any, dict[CellSpec, list[Path]]] = {}
    for place, paths in drawn.items():  # each with its own cells without the LoRA
        groups.setdefault(beside_of(place), {})[place] = list(paths)
    judged: dict[CellSpec, Judgement] = {}
    compared: dict[CellSpec, Judgement] = {}
    for own in groups.values():
        one = next(iter(own))
        prompt, first = one.prompt, not compared
        pooled: dict[CellSpec, list[Path]] = {}
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
