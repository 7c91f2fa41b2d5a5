"""Plot: epoch × strength × preset, and what else varies, on one sheet, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..files.fileio import fingerprint
from ..host import Host
from ..judge.cells import CellSpec, Judgement
from ..judge.reason import reason
from ..judge.recommend import RULE, judge, recommend
from ..library.publish import publish
from ..settings.schema import Settings
from ..workspace.recommendation import Recommendation, recommendation_from
from ..workspace.resume import begin, finish
from .context import StageContext
from .plot_cells import PlotEstimate, SheetCells, draw_cells
from .plot_layout import Layout, beside_of
from .plot_live import announce, withdraw
from .plot_output import SheetContents, head_of, present_page, present_sheet
from .plot_plan import SheetPlan, read_plan
from .plot_race import SheetRace
from .plot_scores import write_scores

DrawnCells = Mapping[CellSpec, Sequence[Path]]


@dataclass(frozen=True)
class PlotResult:
    """sheet: PNG.  page: HTML that links the full-size pictures."""

    sheet: Path
    page: Path
    recommendation: Recommendation | None

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        best = self.recommendation
        return {
            "sheet": str(self.sheet),
            "page": str(self.page),
            "recommendation": {**asdict(best), "lora": str(best.lora)} if best else None,
        }


@dataclass(frozen=True)
class _Verdict:
    """The judge's answer on a sheet.

    judged: every cell.
    best: the recommended cell; None where no cell can be recommended.
    why: a sentence for the user, or ''.
    confidence: chance that no cell is better, 0 to 1; 0 where it is not known.
    scores: the files with the figures.
    """

    judged: Mapping[CellSpec, Judgement]
    best: CellSpec | None
    why: str
    confidence: float
    scores: Sequence[Path]


def plot(context: StageContext) -> PlotResult:
    """Draw the sheet and recommend a cell.

    Cells that were drawn before with the same LoRA, strength, prompt and seed are taken from disk.

    Raises: LoraFileError, PresetError, SettingsError; JobCancelled, keeping the cells that are
        drawn.
    """
    settings = context.settings
    workspace = context.workspace
    host = context.host
    sheet_plan = read_plan(settings, workspace, host)
    mark = _mark(sheet_plan, settings, host)
    sheet = workspace.plots / "sheet.png"
    page = workspace.plots / "sheet.html"
    record, done = begin(workspace, "plot", mark, context.force)
    if done and sheet.exists() and page.exists():
        saved = recommendation_from(record.data.get("recommendation"), workspace)
        return PlotResult(sheet, page, saved)
    cells = SheetCells.of(sheet_plan, workspace, host)
    publish(settings, workspace, host, sheet_plan.epochs)
    race = SheetRace.of(cells, settings.judge)
    head = head_of(settings, host, cells.layout, sheet_plan.seeds)
    announce(cells, workspace, head)
    drawn = draw_cells(cells, context, race.first, race.most(settings.judge))
    publish(settings, workspace, host, sheet_plan.epochs, _previews(cells.layout, drawn))
    verdict = _judged(context, drawn, race)
    recommendation = _recommendation(sheet_plan, verdict)
    if recommendation is not None:
        record.data["recommendation"] = {**asdict(recommendation), "lora": str(recommendation.lora)}
    contents = SheetContents(
        *head,
        cells.layout,
        race.pictures(drawn),
        len(sheet_plan.seeds),
        verdict.judged,
        verdict.best,
        verdict.why,
    )
    present_sheet(sheet, contents, workspace, sheet_plan.size)
    present_page(page, contents, workspace)
    files = [sheet, page, *verdict.scores]
    for path in files:
        workspace.note_file(record, path)
    finish(workspace, record, files)
    withdraw(workspace)
    return PlotResult(sheet, page, recommendation)


def plan(context: StageContext) -> PlotEstimate:
    """How much a call would draw and how long that takes.  Raises: as `plot`."""
    workspace = context.workspace
    host = context.host
    cells = SheetCells.of(read_plan(context.settings, workspace, host), workspace, host)
    race = SheetRace.of(cells, context.settings.judge)
    most = race.most(context.settings.judge)
    return cells.estimate(workspace, host, first=race.first, race=most)


def _mark(sheet_plan: SheetPlan, settings: Settings, host: Host) -> str:
    """The fingerprint of all that the sheet depends on."""
    options = sheet_plan.options
    return fingerprint(
        vars(options),
        [sheet_plan.preset_key(preset) for preset in options.presets],
        vars(settings.judge),
        RULE,
        sheet_plan.seeds,
        {source.recorded_number: sha256 for source, sha256 in sheet_plan.hashes.items()},
        host.checkpoint.drawing_mark,
        sheet_plan.prompts,
        sheet_plan.size,
        sheet_plan.clip_skip,
    )


def _recommendation(sheet_plan: SheetPlan, verdict: _Verdict) -> Recommendation | None:
    best = verdict.best
    if best is None or best.lora is None:
        return None
    file = sheet_plan.sources[best.source]  # without block weights baked in, as users have it
    return Recommendation(
        epoch=best.source.number,
        strength=best.strength,
        preset=best.preset,
        lora=file,
        reason=verdict.why,
        prompt=best.prompt,
        confidence=verdict.confidence,
    )


def _previews(layout: Layout, drawn: DrawnCells) -> dict[int, Path]:
    """The preview of each epoch: the first picture of the last of its cells that are compared."""
    return {
        place.source.number: paths[0]
        for place, paths in drawn.items()
        if place.source.is_epoch and place in layout.main
    }


def _judged(context: StageContext, drawn: DrawnCells, race: SheetRace) -> _Verdict:
    """Judge every cell and recommend one.

    Each group of cells that differ only in LoRA and seed is judged beside its own cells without
    the LoRA.  The first group is the one that is compared to recommend a cell: over all seeds, and
    with further prompts.
    """
    settings = context.settings
    workspace = context.workspace
    host = context.host
    job = context.job
    groups: dict[Any, dict[CellSpec, list[Path]]] = {}
    for place, paths in drawn.items():
        groups.setdefault(beside_of(place), {})[place] = list(paths)
    judged: dict[CellSpec, Judgement] = {}
    compared: dict[CellSpec, Judgement] = {}
    for group in groups.values():
        first = next(iter(group))
        is_compared = not compared
        pooled: dict[CellSpec, list[Path]] = {}
        for place, paths in group.items():
            pooled.setdefault(replace(place, seed=None), []).extend(paths)
        has_all_seeds = pooled.keys() == group.keys()
        with host.drawing_with(first.checkpoint) if first.checkpoint else nullcontext():
            probing = is_compared and has_all_seeds
            further = race.further(context) if probing else None
            scores = judge(settings, workspace, host, group, first.prompt, job, probing, further)
            judged |= scores
            if is_compared:
                compared = (
                    scores
                    if has_all_seeds
                    else judge(settings, workspace, host, pooled, first.prompt, job)
                )
    best = recommend(compared)
    why = reason(best, compared, settings.judge.confidence) if best else ""
    files = write_scores(settings, workspace, {**compared, **judged}, best, why)
    chance = (compared[best].chance or 0.0) if best else 0.0
    return _Verdict(judged, best, why, chance, files)
