"""Which cell of the sheet to take, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..host import Host
from ..jobs import Job
from ..metrics.ranking import CRITERIA, choose_spread, pareto_front, weighted_score
from ..metrics.retention import choose_gentlest, smooth_scores
from ..settings.judge import JudgeSettings
from ..settings.schema import Settings
from ..tagging.ensemble import open_taggers
from ..workspace.workspace import Workspace
from .cells import NO_LORA, CellSpec, Judgement
from .first_round import character_traits, judge_first_round
from .probe_round import probe

LEAST = {"copying": "copies least", "leak": "leaks least", "damage": "harms least"}


def judge(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    prompt: str,
    job: Job | None = None,
    probing: bool = True,
) -> dict[CellSpec, Judgement]:
    """Every cell's judgement.

    Two rounds: what the cells' own pictures tell, then, where `probing`, further pictures of the
    most promising cells.

    Raises: JobCancelled.
    """
    job, weights = job or Job(), criterion_weights(settings.judge)
    tagger = open_taggers(settings.caption, host, job)
    wanted = character_traits(settings, workspace, tagger, prompt) if tagger else ()
    judged = judge_first_round(settings, workspace, host, drawn, tagger, wanted, job)
    even = _smoothed(judged)
    whole = [place for place, seen in judged.items() if place.has_lora and not seen.pixels.invalid]
    values = {place: weighted_score(even[place], weights) for place in whole}
    leading = set(pareto_front({place: even[place] for place in whole}, weights))
    ordered = sorted(
        whole,
        key=lambda place: (
            place not in leading,
            -values[place],
            abs(place.strength),
            place.source.recorded_number,
        ),
    )
    ordered = [place for place in ordered if not place.refine]  # probes are drawn at once
    chosen = choose_spread(ordered, _spots(judged), settings.judge.probes if probing else 0)
    judged |= probe(settings, workspace, host, job, judged, chosen, tagger, wanted)
    final = {place: {**judged[place].scores, **even[place]} for place in whole}
    leading = set(pareto_front({place: judged[place].scores for place in whole}, weights))
    return {
        place: (
            replace(
                seen,
                value=round(weighted_score(final[place], weights), 4),
                on_front=place in leading,
            )
            if place in final
            else seen
        )
        for place, seen in judged.items()
    }


def criterion_weights(options: JudgeSettings) -> dict[str, float]:
    """How much each criterion counts."""
    return {name: getattr(options, name) for name in CRITERIA}


def _spots(judged: Iterable[CellSpec]) -> dict[CellSpec, tuple[object, int, int]]:
    """Where each cell lies: (all that is the same in its table, row of its epoch, column of its
    strength).
    """
    tables: dict[tuple[str, CellSpec], list[CellSpec]] = {}
    for place in judged:
        if place.has_lora:
            same = replace(place, source=NO_LORA, strength=0.0, lora=None)
            tables.setdefault((place.source.label, same), []).append(place)
    found: dict[CellSpec, tuple[object, int, int]] = {}
    for table, own in tables.items():
        rows = sorted({place.source.recorded_number for place in own})
        columns = sorted({place.strength for place in own})
        found |= {
            place: (table, rows.index(place.source.recorded_number), columns.index(place.strength))
            for place in own
        }
    return found


def _smoothed(judged: Mapping[CellSpec, Judgement]) -> dict[CellSpec, dict[str, float]]:
    """The first round's scores with the neighbours' counted in.

    Without a tagger colours stand for her traits: 0 for what the checkpoint shares with the
    picture, 1 for the most of any cell.
    """
    spots = _spots(judged)
    least = max(
        (seen.pixels.similarity for place, seen in judged.items() if not place.has_lora),
        default=0.0,
    )
    most = max((judged[place].pixels.similarity for place in spots), default=0.0)
    found: dict[CellSpec, dict[str, float]] = {place: {} for place in spots}
    for table in dict.fromkeys(spot[0] for spot in spots.values()):
        own = {
            place: spot[1:]
            for place, spot in spots.items()
            if spot[0] == table and not judged[place].pixels.invalid
        }
        for name in ("retention", "copying", "damage"):
            values = {at: _known(judged[place], name, least, most) for place, at in own.items()}
            even = smooth_scores({at: value for at, value in values.items() if value is not None})
            for place, at in own.items():
                if at in even:
                    found[place][name] = even[at]
    return found


def _known(seen: Judgement, name: str, least: float, most: float) -> float | None:
    if name == "retention" and seen.retention is None:
        return max(0.0, (seen.pixels.similarity - least) / (most - least)) if most > least else 0.0
    return seen.scores.get(
        name, seen.retention.score if name == "retention" and seen.retention else None
    )


def recommend(judged: Mapping[CellSpec, Judgement]) -> CellSpec | None:
    """The gentlest cell within a hundredth of the best one, of those whose pictures are whole.

    Of the cells that were probed, where any were: only of those is everything known.  Files of
    elsewhere and pictures that were redrawn are compared, not recommended, for this workspace's
    files used as they are is what is asked for.
    """
    whole = [
        place
        for place, seen in judged.items()
        if place.source.is_epoch and not place.refine and not seen.pixels.invalid
    ]
    whole = [place for place in whole if "leak" in judged[place].scores] or whole
    spots = _spots(judged)
    even = {} if any(judged[place].value is not None for place in whole) else _smoothed(judged)
    values = {
        place: judged[place].value or even.get(place, {}).get("retention", 0.0) for place in whole
    }
    best: list[tuple[float, CellSpec]] = []
    for table in dict.fromkeys(spots[place][0] for place in whole):
        own = {spots[place][1:]: place for place in whole if spots[place][0] == table}
        spot = choose_gentlest({at: values[place] for at, place in own.items()})
        if spot is not None:
            best.append((values[own[spot]], own[spot]))
    return max(best, key=lambda found: found[0])[1] if best else None


def reason(place: CellSpec, judged: Mapping[CellSpec, Judgement]) -> str:
    """A sentence for the user."""
    own = judged[place]
    base = next((seen for p, seen in judged.items() if not p.has_lora), None)
    if own.retention is None:
        without = base.pixels.similarity if base else 0.0
        parts = [
            f"its colours are near the picture's ({own.pixels.similarity:.0%} shared, {without:.0%}"
            " without the LoRA; no tagger tells of her traits)"
        ]
    else:
        without = base.retention.seen if base and base.retention else 0.0
        parts = [
            f"{own.retention.seen:.2g} of {len(own.retention.counts)} traits ({without:.2g} without the LoRA)"
        ]
    if "flexibility" in own.scores:
        parts.append(
            f"obeys {own.scores['flexibility'] * 100:.0f} % of the poses, views, places and clothes"
            " that the checkpoint obeys"
        )
    rivals = [
        seen
        for p, seen in judged.items()
        if p.has_lora and p != place and ("leak" in seen.scores) == ("leak" in own.scores)
    ]
    for name, words in LEAST.items():
        beaten = [seen.scores[name] for seen in rivals if name in seen.scores]
        if name in own.scores and beaten and own.scores[name] < min(beaten):
            parts.append(words)
    rest = [other for other in judged if other.source.label or other.refine]
    best = max(rest, key=lambda other: judged[other].value or 0.0, default=None)
    told = ""
    if best is not None and own.value is not None and (judged[best].value or 0.0) > own.value:
        told = (
            f"; {best.words} scores higher still ({judged[best].value:.2f} against {own.value:.2f})"
        )
    return f"{place.words}: {', '.join(parts)}{told}"
