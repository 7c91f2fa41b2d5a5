"""Which cell of the sheet to take, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..captions.prompt_language import tags_of
from ..host import Host
from ..jobs import Job
from ..metrics.ranking import (
    CRITERIA,
    TablePosition,
    choose_gentlest,
    next_to_probe,
    pareto_front,
    price,
    smooth_scores,
    worth,
)
from ..settings.judge import JudgeSettings
from ..settings.schema import Settings
from ..tagging.ensemble import open_taggers
from ..workspace.workspace import Workspace
from .cells import NO_LORA, CellSpec, Judgement
from .first_round import judge_first_round
from .probe_round import Prober
from .traits import character_traits

# Criteria of which less is better, and the words for a cell that has the least of all
# Of the judge's rules: a sheet that was judged by others is judged again, from its pictures
RULE = 2
PROBED = ("flexibility", "leak")  # criteria that only probes show
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
    tagger = open_taggers(settings.caption, host, job)
    traits = character_traits(settings, workspace, tagger, prompt) if tagger else ()
    named = tags_of(prompt)
    judged = judge_first_round(settings, workspace, host, drawn, tagger, traits, job, named)
    scale = Scale.of(settings.judge, judged)
    valid = [spec for spec, found in judged.items() if spec.has_lora and not found.pixels.invalid]
    if probing and settings.judge.probes:
        most = min(settings.judge.probes, len(valid))
        prober = Prober(settings, workspace, host, job, tagger, traits, most)
        judged |= _probed(judged, scale, prober, most)
    front = set(pareto_front({spec: judged[spec].scores for spec in valid}, scale.weights))
    for spec in valid:
        value = round(scale.value(spec, judged[spec]), 4)
        judged[spec] = replace(judged[spec], value=value, on_front=spec in front)
    return judged


@dataclass(frozen=True)
class Scale:
    """What turns a cell's figures into one number.

    weights: of the criteria.
    smooth: the first round's scores, neighbours counted in.
    base: retention of the checkpoint alone.
    """

    weights: Mapping[str, float]
    smooth: Mapping[CellSpec, Mapping[str, float]]
    base: float

    @classmethod
    def of(cls, options: JudgeSettings, judged: Mapping[CellSpec, Judgement]) -> Scale:
        """The scale of a sheet after its first round."""
        own = (found.scores.get("retention") for spec, found in judged.items() if not spec.has_lora)
        known = [score for score in own if score is not None]
        base = sum(known) / len(known) if known else 0.0
        return cls(criterion_weights(options), _smoothed(judged), base)

    def value(self, spec: CellSpec, judgement: Judgement) -> float:
        """What the cell is worth by all that is known of it."""
        return worth({**judgement.scores, **self.smooth[spec]}, self.weights, self.base)

    def probe_price(self, judgement: Judgement) -> float:
        """The price of what only probes show."""
        shown = {name: judgement.scores[name] for name in PROBED if name in judgement.scores}
        return price(shown, self.weights)


def _probed(
    judged: Mapping[CellSpec, Judgement], scale: Scale, prober: Prober, most: int
) -> dict[CellSpec, Judgement]:
    """The judgements of the cells that were probed, one after another by what they promise.

    Redrawn cells (`refine`) are left out: probes are drawn in one pass.
    """
    values = {
        spec: scale.value(spec, judged[spec])
        for spec in _gentlest_first(judged)
        if not spec.refine and not judged[spec].pixels.invalid
    }
    positions = _positions(judged)
    probed: dict[CellSpec, Judgement] = {}
    while len(probed) < most:
        prices = {spec: scale.probe_price(found) for spec, found in probed.items()}
        spec = next_to_probe(values, prices, positions)
        if spec is None:
            break
        probed[spec] = prober.probe(spec, judged[spec])
    return probed


def _gentlest_first(judged: Mapping[CellSpec, Judgement]) -> list[CellSpec]:
    return sorted(
        (spec for spec in judged if spec.has_lora),
        key=lambda spec: (abs(spec.strength), spec.source.recorded_number),
    )


def criterion_weights(options: JudgeSettings) -> dict[str, float]:
    """How much each criterion counts."""
    return {name: getattr(options, name) for name in CRITERIA}


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
        spec: smooth.get(spec, {}).get("retention", 0.0) if value is None else value
        for spec in valid
        for value in (judged[spec].value,)
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
