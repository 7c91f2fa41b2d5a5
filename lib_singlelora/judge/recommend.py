"""Which cell of the sheet to take, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..host import Host
from ..jobs import Job
from ..metrics.ranking import (
    CRITERIA,
    TablePosition,
    choose_gentlest,
    choose_spread,
    pareto_front,
    smooth_scores,
    weighted_score,
)
from ..settings.judge import JudgeSettings
from ..settings.schema import Settings
from ..tagging.ensemble import open_taggers
from ..workspace.workspace import Workspace
from .cells import NO_LORA, CellSpec, Judgement
from .first_round import character_traits, judge_first_round
from .probe_round import judge_probe_round

# Criteria of which less is better, and the words for a cell that has the least of all
LEAST = {"copying": "copies least", "leak": "leaks least", "damage": "is damaged least"}


def judge(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    prompt: str,
    job: Job | None = None,
    probing: bool = True,
) -> dict[CellSpec, Judgement]:
    """Every cell's judgement, in two rounds.

    The first round looks at the cells' own pictures; the second one draws further pictures of the
    most promising cells.

    drawn: the pictures of each cell.
    prompt: theirs, which says what traits they should show.
    probing: False leaves the second round out.
    Raises: JobCancelled.
    """
    job = job or Job()
    weights = criterion_weights(settings.judge)
    tagger = open_taggers(settings.caption, host, job)
    traits = character_traits(settings, workspace, tagger, prompt) if tagger else ()
    judged = judge_first_round(settings, workspace, host, drawn, tagger, traits, job)
    smooth = _smoothed(judged)
    valid = [spec for spec, found in judged.items() if spec.has_lora and not found.pixels.invalid]
    promising = _by_promise({spec: smooth[spec] for spec in valid}, weights)
    chosen = choose_spread(promising, _positions(judged), settings.judge.probes if probing else 0)
    judged |= judge_probe_round(settings, workspace, host, job, judged, chosen, tagger, traits)
    front = set(pareto_front({spec: judged[spec].scores for spec in valid}, weights))
    for spec in valid:
        scores = {**judged[spec].scores, **smooth[spec]}
        value = round(weighted_score(scores, weights), 4)
        judged[spec] = replace(judged[spec], value=value, on_front=spec in front)
    return judged


def criterion_weights(options: JudgeSettings) -> dict[str, float]:
    """How much each criterion counts."""
    return {name: getattr(options, name) for name in CRITERIA}


def _by_promise(
    scores: Mapping[CellSpec, Mapping[str, float]], weights: Mapping[str, float]
) -> list[CellSpec]:
    """The cells to probe, the best first: the Pareto front, then by value, then the gentlest.

    Redrawn cells (`refine`) are left out: probes are drawn in one pass.
    """
    front = set(pareto_front(scores, weights))
    values = {spec: weighted_score(scores[spec], weights) for spec in scores}
    return sorted(
        (spec for spec in scores if not spec.refine),
        key=lambda spec: (
            spec not in front,
            -values[spec],
            abs(spec.strength),
            spec.source.recorded_number,
        ),
    )


def _positions(specs: Iterable[CellSpec]) -> dict[CellSpec, TablePosition]:
    """(table, row of its source, column of its strength) of each cell with a LoRA.

    Cells of one table differ in epoch and strength alone.
    """
    tables: dict[object, list[CellSpec]] = {}
    for spec in specs:
        if spec.has_lora:
            shared = replace(spec, source=NO_LORA, strength=0.0, lora=None)
            tables.setdefault((spec.source.label, shared), []).append(spec)
    positions: dict[CellSpec, TablePosition] = {}
    for table, cells in tables.items():
        rows = sorted({spec.source.recorded_number for spec in cells})
        columns = sorted({spec.strength for spec in cells})
        for spec in cells:
            row = rows.index(spec.source.recorded_number)
            positions[spec] = (table, row, columns.index(spec.strength))
    return positions


def _smoothed(judged: Mapping[CellSpec, Judgement]) -> dict[CellSpec, dict[str, float]]:
    """The first round's scores of the cells with a LoRA, neighbours counted in.

    Without a tagger, colours stand for the traits: 0 for what the checkpoint alone shares with the
    picture, 1 for the most that any cell does.
    """
    positions = _positions(judged)
    least = max(
        (found.pixels.similarity for spec, found in judged.items() if not spec.has_lora),
        default=0.0,
    )
    most = max((judged[spec].pixels.similarity for spec in positions), default=0.0)
    scores: dict[CellSpec, dict[str, float]] = {spec: {} for spec in positions}
    for table in dict.fromkeys(position[0] for position in positions.values()):
        grid = {
            position[1:]: spec
            for spec, position in positions.items()
            if position[0] == table and not judged[spec].pixels.invalid
        }
        for name in ("retention", "copying", "damage"):
            known = {at: _score(judged[spec], name, least, most) for at, spec in grid.items()}
            smooth = smooth_scores({at: value for at, value in known.items() if value is not None})
            for at, value in smooth.items():
                scores[grid[at]][name] = value
    return scores


def _score(judgement: Judgement, name: str, least: float, most: float) -> float | None:
    """The score by a criterion, None where it is not known.

    least, most: the range of colours shared that stands for the traits without a tagger.
    """
    if name != "retention":
        return judgement.scores.get(name)
    if judgement.retention is not None:
        return judgement.scores.get(name, judgement.retention.score)
    if most <= least:
        return 0.0
    return max(0.0, (judgement.pixels.similarity - least) / (most - least))


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
    positions = _positions(judged)
    is_valued = any(judged[spec].value is not None for spec in valid)
    smooth = {} if is_valued else _smoothed(judged)
    values = {
        spec: judged[spec].value or smooth.get(spec, {}).get("retention", 0.0) for spec in valid
    }
    best: list[tuple[float, CellSpec]] = []
    for table in dict.fromkeys(positions[spec][0] for spec in valid):
        grid = {positions[spec][1:]: spec for spec in valid if positions[spec][0] == table}
        gentlest = choose_gentlest({at: values[spec] for at, spec in grid.items()})
        if gentlest is not None:
            best.append((values[grid[gentlest]], grid[gentlest]))
    return max(best, key=lambda pair: pair[0])[1] if best else None


def reason(spec: CellSpec, judged: Mapping[CellSpec, Judgement]) -> str:
    """Why this cell is recommended, in a sentence for the user."""
    judgement = judged[spec]
    pieces = [_traits_in_words(judgement, judged)]
    if "flexibility" in judgement.scores:
        pieces.append(
            f"obeys {judgement.scores['flexibility'] * 100:.0f} % of the poses, views, places and"
            " clothes that the checkpoint obeys"
        )
    pieces += _superlatives(spec, judged)
    return f"{spec.words}: {', '.join(pieces)}{_better_elsewhere(judgement, judged)}"


def _traits_in_words(judgement: Judgement, judged: Mapping[CellSpec, Judgement]) -> str:
    """How much of the character is there, with the LoRA and without."""
    base = next((found for spec, found in judged.items() if not spec.has_lora), None)
    if judgement.retention is None:
        without = base.pixels.similarity if base else 0.0
        return (
            f"its colours are near the picture's ({judgement.pixels.similarity:.0%} shared,"
            f" {without:.0%} without the LoRA; no tagger shows the character's traits)"
        )
    seen = base.retention.seen if base and base.retention else 0.0
    return (
        f"{judgement.retention.seen:.2g} of {len(judgement.retention.counts)} traits"
        f" ({seen:.2g} without the LoRA)"
    )


def _superlatives(spec: CellSpec, judged: Mapping[CellSpec, Judgement]) -> list[str]:
    """In what the cell beats all others that were judged as thoroughly."""
    scores = judged[spec].scores
    rivals = [
        found.scores
        for other, found in judged.items()
        if other.has_lora and other != spec and ("leak" in found.scores) == ("leak" in scores)
    ]
    words = []
    for name, superlative in LEAST.items():
        others = [rival[name] for rival in rivals if name in rival]
        if name in scores and others and scores[name] < min(others):
            words.append(superlative)
    return words


def _better_elsewhere(judgement: Judgement, judged: Mapping[CellSpec, Judgement]) -> str:
    """The file to compare or the redrawn cell that scores still higher, in words; '' for none."""
    rest = [spec for spec in judged if spec.source.label or spec.refine]
    best = max(rest, key=lambda spec: judged[spec].value or 0.0, default=None)
    value = (judged[best].value or 0.0) if best else 0.0
    if best is None or judgement.value is None or value <= judgement.value:
        return ""
    return f"; {best.words} scores higher still ({value:.2f} against {judgement.value:.2f})"
