"""Which cell of the sheet to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..captions.prompt_language import tags_of
from ..host import Host
from ..jobs import Job
from ..metrics.intervals import half_widths, wilson_interval
from ..metrics.posterior import chance_of_nearly_best
from ..metrics.ranking import choose_gentlest, pareto_front, smooth_scores
from ..settings.schema import Settings
from ..tagging.ensemble import open_taggers
from ..workspace.workspace import Workspace
from .cells import CellSpec, Judgement
from .contest import Contest, Further
from .first_round import FirstRound
from .probe_round import Prober
from .race import MARGIN, Standings
from .scale import positions_of
from .traits import CharacterTraits

# Of the judge's rules: a sheet that was judged by others is judged again, from its pictures
RULE = 9
SPREADS = ("retention", "traits", "copying", "damage", "colours")  # figures with an interval


def judge(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    prompt: str,
    job: Job | None = None,
    probing: bool = True,
    further: Further | None = None,
) -> dict[CellSpec, Judgement]:
    """Every cell's judgement: its own pictures, probes of the most promising, and a race.

    drawn: the pictures of each cell.
    prompt: theirs, which says what traits they should show.
    probing: False draws no other prompts.
    further: where more pictures come from; None judges by those that are there.
    Raises: JobCancelled, keeping what is drawn.
    """
    job = job or Job()
    options = settings.judge
    tagger = open_taggers(settings.caption, host, job)
    character = CharacterTraits(settings, workspace, tagger) if tagger else None
    traits = character.of(prompt) if character else ()
    prober = None
    if probing and options.probes:
        prober = Prober(settings, workspace, host, job, tagger, traits, options.probes, character)
    first = FirstRound(settings, workspace, host, job, tagger, traits, tags_of(prompt), prober)
    contest = Contest(options, drawn, first, prober, further, job)
    standings = contest.run()
    judged = contest.judged
    weights = contest.scale.weights
    valid = [spec for spec, found in judged.items() if spec.has_lora and not found.pixels.invalid]
    front = set(pareto_front({spec: judged[spec].scores for spec in valid}, weights))
    spreads = _spreads(judged, options.confidence)
    places = {spec: number for number, spec in enumerate(contest.racers)}
    for spec, found in judged.items():
        own = replace(found, spread={**found.spread, **spreads[spec]}, on_front=spec in front)
        if spec in places and standings is not None:
            own = _ranked(own, standings, places[spec], options.confidence)
        elif spec in valid:  # a file to compare, or redrawn
            own = replace(own, value=round(contest.value_outside(spec, standings), 4))
        judged[spec] = replace(own, value=own.value if spec in valid else None)
    return {spec: judged[spec] for spec in [*drawn, *(s for s in judged if s not in drawn)]}


def _ranked(found: Judgement, now: Standings, number: int, confidence: float) -> Judgement:
    """The judgement with what the standings say of the cell."""
    worths = now.worths[:, number]
    low, high = np.quantile(worths, (0.5 - confidence / 2, 0.5 + confidence / 2))
    return replace(
        found,
        value=round(float(worths.mean()), 4),
        spread={**found.spread, "value": round(float(high - low) / 2, 4)},
        chance=round(chance_of_nearly_best(now.worths, number, MARGIN), 3),
    )


def _spreads(
    judged: Mapping[CellSpec, Judgement], confidence: float
) -> dict[CellSpec, dict[str, float]]:
    """Half the width of the interval of each figure that has one."""
    spreads: dict[CellSpec, dict[str, float]] = {spec: {} for spec in judged}
    for name in SPREADS:
        groups = {
            spec: found.by_picture[name]
            for spec, found in judged.items()
            if name in found.by_picture
        }
        for spec, half in half_widths(groups, confidence).items():
            spreads[spec][name] = round(half, 4)
    for spec, found in judged.items():
        if found.retention is not None and "traits" not in spreads[spec]:
            # One picture a cell says nothing of chance between pictures: that between traits
            count = len(found.retention.counts)
            low, high = wilson_interval(found.retention.seen / count, count, confidence)
            spreads[spec]["traits"] = round((high - low) / 2 * count, 4)
    return spreads


def recommend(judged: Mapping[CellSpec, Judgement]) -> CellSpec | None:
    """The gentlest cell within a hundredth of the best one, of those with valid pictures.

    Where cells were probed, only those are considered: of no others everything is known.  Files to
    compare and redrawn pictures are not recommended: a recommendation is a file of this workspace,
    used as it is.
    """
    valid = [
        spec
        for spec, found in judged.items()
        if spec.source.is_epoch and not spec.refine and not found.pixels.invalid
    ]
    valid = [spec for spec in valid if "leak" in judged[spec].scores] or valid
    positions = positions_of(judged)
    best: list[tuple[float, CellSpec]] = []
    for table in dict.fromkeys(positions[spec][0] for spec in valid):
        grid = {positions[spec][1:]: spec for spec in valid if positions[spec][0] == table}
        values = _values({at: judged[spec] for at, spec in grid.items()})
        gentlest = choose_gentlest(values)
        if gentlest is not None:
            best.append((values[gentlest], grid[gentlest]))
    return max(best, key=lambda pair: pair[0])[1] if best else None


def _values(grid: Mapping[tuple[int, int], Judgement]) -> dict[tuple[int, int], float]:
    """The values of a table's cells; where none has one, its traits or colours, smoothed."""
    values = {at: found.value for at, found in grid.items() if found.value is not None}
    if values:
        return values
    return smooth_scores(
        {
            at: found.retention.score if found.retention else found.pixels.similarity
            for at, found in grid.items()
        }
    )
