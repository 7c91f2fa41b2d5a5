"""The pictures of a sheet's cells: the file of each, what is missing, and drawing it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..files.fileio import fingerprint
from ..host import Host, ImageRequest, LoraUse
from ..imaging.load import read_rgb
from ..imaging.png import save_picture
from ..jobs import Job, Progress, in_series
from ..judge.cells import CellSpec
from ..settings.declare import SEEDS
from ..workspace.timing import Stopwatch, in_words, save_pace, seconds_per_picture
from ..workspace.workspace import Workspace
from .context import StageContext
from .plot_layout import Layout, lay_out, name_of
from .plot_plan import SheetPlan

Wanted = tuple[CellSpec, int]  # a cell, and the seed of a picture


@dataclass(frozen=True)
class PlotEstimate:
    """How much a call would draw.

    pictures: on the whole sheet.
    missing: of them, those that are not drawn yet.
    seconds: expected; None where nothing was drawn on this machine yet.
    race: pictures that the race adds at most.
    note: where a setting was understood in another way than it may be meant, else ''.
    """

    pictures: int
    missing: int
    seconds: float | None
    race: int = 0
    note: str = ""

    @property
    def sentence(self) -> str:
        """In words."""
        duration = "" if self.seconds is None else f", about {in_words(self.seconds)}"
        race = f"; then a race of {self.race} at most" if self.race else ""
        note = f"; {self.note}" if self.note else ""
        return f"{self.missing} of {self.pictures} pictures to draw{duration}{race}{note}"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "pictures": self.pictures,
            "missing": self.missing,
            "expected_seconds": self.seconds,
            "race": self.race,
            "plan": self.sentence,
        }


@dataclass(frozen=True)
class SheetCells:
    """The cells of a planned sheet, and the file of each picture.

    request: what all pictures have in common.
    files: of each cell, by seed; also the originals of those that are redrawn.
    marks: of each of them, the fingerprint of its pictures.
    """

    plan: SheetPlan
    layout: Layout
    request: ImageRequest
    files: Mapping[CellSpec, Mapping[int, Path]]
    marks: Mapping[CellSpec, str]

    @classmethod
    def of(cls, plan: SheetPlan, workspace: Workspace, host: Host) -> SheetCells:
        """The cells of a plan.  Raises: as `lay_out`."""
        layout = lay_out(plan, workspace, host)
        request = ImageRequest("", plan.seeds, plan.size, plan.size, steps=plan.options.steps)
        # What is redrawn needs its original, whether that is on the sheet or not.
        originals = (replace(place, refine=0.0) for place in layout.places)
        files = {}
        marks = {}
        for place in dict.fromkeys((*layout.places, *originals)):
            asked = _request(request, place)
            marks[place] = _mark(plan, host, place, asked)
            files[place] = {
                seed: workspace.plots / "cells" / f"{marks[place]}-{seed}.png"
                for seed in asked.seeds
            }
        return cls(plan, layout, request, files, marks)

    def seed_of(self, number: int) -> int:
        """The seed of a picture by its number: the sheet's own, then those after the last."""
        seeds = self.plan.seeds
        past = number - len(seeds) + 1
        return seeds[number] if past < 1 else (seeds[-1] + past) % SEEDS

    def missing(self, place: CellSpec, force: bool = False) -> tuple[int, ...]:
        """The seeds of a cell that are not drawn; with force all."""
        return tuple(seed for seed, path in self.files[place].items() if force or not path.exists())

    def estimate(
        self,
        workspace: Workspace,
        host: Host,
        force: bool = False,
        first: Collection[CellSpec] | None = None,
        race: int = 0,
    ) -> PlotEstimate:
        """How much is to be drawn, and how long that takes.

        first: the cells that are drawn before the race; None for all.
        race: pictures that the race adds at most.
        """
        asked = set(self.files if first is None else first)
        originals = {replace(place, refine=0.0) for place in asked} - asked
        counted = [(place, force) for place in asked] + [(place, False) for place in originals]
        missing = {
            self.files[place][seed] for place, anew in counted for seed in self.missing(place, anew)
        }
        size = (self.request.width, self.request.height)
        seconds = seconds_per_picture(workspace, host, size, self.request.steps)
        return PlotEstimate(
            len({path for place, _ in counted for path in self.files[place].values()}),
            len(missing),
            None if seconds is None else round(seconds * (len(missing) + race), 1),
            race,
            self.plan.seeds_note,
        )


def _mark(plan: SheetPlan, host: Host, place: CellSpec, asked: ImageRequest) -> str:
    """The fingerprint of a cell's pictures, part of the names of their files."""
    redrawn = (place.refine, plan.options.refine_denoise) if place.refine else ()
    checkpoint = host.other_checkpoint(place.checkpoint) if place.checkpoint else host.checkpoint
    values = (
        plan.hashes.get(place.source),
        place.strength,
        plan.preset_key(place.preset),
        replace(asked, seeds=(), loras=()).as_mark(),
        checkpoint.drawing_mark,
        *redrawn,
    )
    return fingerprint(values)


def _request(request: ImageRequest, place: CellSpec) -> ImageRequest:
    """The request of one cell."""
    return replace(
        request,
        prompt=place.prompt,
        negative_prompt=place.negative_prompt,
        sampler=place.sampler,
        cfg_scale=place.cfg_scale,
        clip_skip=place.clip_skip,
        seeds=request.seeds if place.seed is None else (place.seed,),
        loras=_use(place, place.strength),
    )


def _use(place: CellSpec, strength: float) -> tuple[LoraUse, ...]:
    return (LoraUse(place.lora, strength, strength),) if place.lora else ()


def draw_cells(
    cells: SheetCells, context: StageContext, places: Sequence[CellSpec], race: int = 0
) -> dict[CellSpec, list[Path]]:
    """Draw what is missing; the pictures of these cells.

    race: pictures that a race will add at most, for the time that is told.
    Raises: JobCancelled, keeping what is drawn.
    """
    workspace = context.workspace
    host = context.host
    job = context.job
    force = context.force
    size = (cells.request.width, cells.request.height)
    steps = cells.request.steps
    drawn = {place: list(cells.files[place].values()) for place in places}
    estimate = cells.estimate(workspace, host, force, places, race)
    job.report(Progress("plot", 0, len(places), estimate.sentence))
    missing: dict[CellSpec, set[Path]] = {}
    owners: dict[Path, list[CellSpec]] = {}  # of one checkpoint named twice they share pictures
    wanted: dict[Path, Wanted] = {}
    for place in places:
        seeds = {_file(cells, place, seed): seed for seed in cells.missing(place, force)}
        missing[place] = set(seeds)
        for path, seed in seeds.items():
            wanted.setdefault(path, (place, seed))
            owners.setdefault(path, []).append(place)
    counts = {place: len(paths) for place, paths in missing.items()}
    finished = 0

    def tell_finished(place: CellSpec) -> None:
        nonlocal finished
        finished += 1
        shown = tuple(drawn[place])
        job.report(Progress("plot", finished, len(places), name_of(place), pictures=shown))

    watch = Stopwatch()
    checkpoint = _CheckpointSwitch(host)
    try:
        for place in places:
            if not missing[place]:
                tell_finished(place)
        for group in _one_after_another(host, checkpoint, size, list(wanted.values())):
            job.raise_if_cancelled()
            place, _ = group[0]
            name = _words(group, counts[place] - len(missing[place]), counts[place])
            message = f"{name}{watch.left(estimate.missing + race)}"
            job.report(Progress("plot", finished, len(places), message))
            with watch.measured(len(group), len(group) * size[0] * size[1] * steps):
                pictures = tuple(_draw_pictures(cells, host, job, group))
            job.report(Progress("plot", finished, len(places), name, pictures=pictures))
            for path in pictures:
                for place in owners[path]:
                    missing[place].discard(path)
                    if not missing[place]:
                        tell_finished(place)
    finally:
        checkpoint.switch_to("")
        save_pace(workspace, host, watch, size, steps)
    return drawn


def _words(group: Sequence[Wanted], before: int, count: int) -> str:
    """What is being drawn.  before, count: of the first cell's pictures, drawn and to be drawn."""
    name = name_of(group[0][0])
    further = len({place for place, _ in group}) - 1
    if further:
        return f"{name} and {further} more cells" if further > 1 else f"{name} and another cell"
    return f"{name}, {in_series(before, len(group))} of {count}" if count > 1 else name


def draw_further(cells: SheetCells, context: StageContext, wanted: Sequence[Wanted]) -> list[Path]:
    """The pictures of cells with seeds, drawn where they are missing, and shown.

    The host draws with the checkpoint of these cells already.

    Raises: JobCancelled.
    """
    job = context.job
    files = {each: _file(cells, *each) for each in wanted}
    size = (cells.request.width, cells.request.height)
    missing = [each for each, path in files.items() if context.force or not path.exists()]
    before = job.view().progress  # the host adds its steps to the message
    there = tuple(path for each, path in files.items() if each not in missing)
    done = before.done + len(there)
    if there:
        job.report(replace(before, done=min(before.total, done), pictures=there))
    for group in _together(context.host, size, missing):
        job.raise_if_cancelled()
        pictures = tuple(_draw_pictures(cells, context.host, job, group))
        done += len(group)
        job.report(replace(before, done=min(before.total, done), pictures=pictures))
    return [files[each] for each in wanted]


def _one_after_another(
    host: Host, checkpoint: _CheckpointSwitch, size: tuple[int, int], wanted: Sequence[Wanted]
) -> Iterator[Sequence[Wanted]]:
    """Pictures that are drawn and seen at once, checkpoint after checkpoint."""
    for name in dict.fromkeys(place.checkpoint for place, _ in wanted):
        checkpoint.switch_to(name)
        yield from _together(host, size, [each for each in wanted if each[0].checkpoint == name])


def _together(
    host: Host, size: tuple[int, int], wanted: Sequence[Wanted]
) -> Iterator[Sequence[Wanted]]:
    """Pictures of one checkpoint that are drawn and seen at once: as many as the host draws.

    Their order is that of the first of each kind.  What is redrawn comes last and alone, for its
    original may be another cell of the sheet.
    """
    companies: dict[object, list[Wanted]] = {}
    for each in wanted:
        if not each[0].refine:
            companies.setdefault(_company(host, each[0]), []).append(each)
    for company in companies.values():
        while company:
            at_once = host.batch_limit(*size)
            yield company[:at_once]
            del company[:at_once]
    for each in wanted:
        if each[0].refine:
            yield [each]


def _company(host: Host, place: CellSpec) -> tuple[object, ...]:
    """Equal for cells of a checkpoint whose pictures may be drawn at once."""
    loras = () if host.mixes_loras else (place.lora, place.strength)
    return place.sampler, place.cfg_scale, place.clip_skip, *loras


def _file(cells: SheetCells, place: CellSpec, seed: int) -> Path:
    """Where a picture of a cell lies, whether its seed is on the sheet or not."""
    beside = next(iter(cells.files[place].values()))
    return beside.with_name(f"{cells.marks[place]}-{seed}.png")


def _draw_pictures(cells: SheetCells, host: Host, job: Job, wanted: Sequence[Wanted]) -> list[Path]:
    """Draw and save pictures, their files; of what is redrawn one, from its original."""
    requests = [replace(_request(cells.request, place), seeds=(seed,)) for place, seed in wanted]
    if wanted[0][0].refine:
        ((place, seed),) = wanted
        original = replace(place, refine=0.0)
        if not cells.files[original][seed].exists():
            _draw_pictures(cells, host, job, [(original, seed)])
        requests = [
            replace(
                requests[0],
                loras=_use(place, place.refine),
                image=read_rgb(cells.files[original][seed]),
                denoise=cells.plan.options.refine_denoise,
            )
        ]
    paths = [_file(cells, *each) for each in wanted]
    # As they come: what the host cannot draw at once is saved before the rest is drawn
    host.generate_batch(requests, job, lambda number, drawn: save_picture(paths[number], drawn))
    return paths


class _CheckpointSwitch:
    """Changes the host's checkpoint only where a cell wants another one: loading takes seconds."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._stack = ExitStack()
        self._name = ""

    def switch_to(self, name: str) -> None:
        """Draw with this checkpoint from now on; '' is the one that was loaded at first."""
        if name == self._name:
            return
        self._stack.close()
        self._name = ""
        if name:
            self._stack.enter_context(self._host.drawing_with(name))
            self._name = name
