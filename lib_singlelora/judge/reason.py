"""Why a cell is recommended, and how sure that is, in words."""

from __future__ import annotations

from collections.abc import Mapping

from .cells import CellSpec, Judgement
from .race import MARGIN

# Criteria of which less is better, and the words for a cell that has the least of all
LEAST = {"copying": "copies least", "leak": "leaks least", "damage": "is damaged least"}
RIVAL = 0.2  # chance from which on another cell is named as not told apart


def reason(spec: CellSpec, judged: Mapping[CellSpec, Judgement], confidence: float = 0.9) -> str:
    """Why this cell is recommended, in a sentence for the user.

    confidence: chance from which on the cell counts as the best, 0 to 1.
    """
    judgement = judged[spec]
    pieces = [_traits_in_words(judgement, judged)]
    if "flexibility" in judgement.scores:
        pieces.append(
            f"obeys {judgement.scores['flexibility'] * 100:.0f} % of the poses, views, places and"
            " clothes that the checkpoint obeys"
        )
    if "elsewhere" in judgement.scores:
        pieces.append(_elsewhere_in_words(judgement, judged))
    pieces += _superlatives(spec, judged)
    words = f"{spec.words}: {', '.join(pieces)}{_better_elsewhere(judgement, judged)}"
    sure = _how_sure(spec, judged, confidence)
    return f"{words}; {sure}" if sure else words


def _how_sure(spec: CellSpec, judged: Mapping[CellSpec, Judgement], confidence: float) -> str:
    """The chance that no cell is better, and those that it is not told apart from."""
    judgement = judged[spec]
    if judgement.chance is None:
        return ""
    chance = f"{judgement.chance * 100:.0f} %"
    if judgement.chance >= confidence:
        return f"as good as the best with {chance}"
    rivals = sorted(
        (other for other in judged if other != spec and (judged[other].chance or 0) >= RIVAL),
        key=lambda other: -(judged[other].chance or 0),
    )
    if not rivals:
        return (
            f"as good as the best with {chance} only: more pictures (judge.probe_seeds,"
            " judge.budget) would tell"
        )
    first = rivals[0]
    more = f" and {len(rivals) - 1} more" if len(rivals) > 1 else ""
    gentler = abs(spec.strength) < abs(first.strength) or (
        spec.strength == first.strength
        and spec.source.recorded_number < first.source.recorded_number
    )
    taken = "; the gentler is taken" if gentler else ""
    return f"as good as the best with {chance}, not told apart from {first.words}{more}{taken}"


def _traits_in_words(judgement: Judgement, judged: Mapping[CellSpec, Judgement]) -> str:
    """How much of the character is there, with the LoRA and without."""
    base = _alone(judged)
    if judgement.retention is None:
        without = base.pixels.similarity if base else 0.0
        return (
            f"its colours are near the picture's ({judgement.pixels.similarity:.0%} shared,"
            f" {without:.0%} without the LoRA; no tagger shows the character's traits)"
        )
    seen = base.retention.seen if base and base.retention else 0.0
    return f"{judgement.note} ({seen:.2g} without the LoRA)"


def _elsewhere_in_words(judgement: Judgement, judged: Mapping[CellSpec, Judgement]) -> str:
    """How much of the character is there where something new is asked for."""
    base = _alone(judged)
    without = base.scores.get("elsewhere", 0.0) if base else 0.0
    return (
        f"shows {judgement.scores['elsewhere'] * 100:.0f} % of the traits in other poses and views"
        f" (the checkpoint {without * 100:.0f} %)"
    )


def _alone(judged: Mapping[CellSpec, Judgement]) -> Judgement | None:
    """What the checkpoint alone draws."""
    return next((found for spec, found in judged.items() if not spec.has_lora), None)


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
    """The file to compare or the redrawn cell that scores still higher, in words; '' for none.

    One that is better by no more than is told apart is not named.
    """
    rest = [spec for spec in judged if spec.source.label or spec.refine]
    best = max(rest, key=lambda spec: judged[spec].value or 0.0, default=None)
    value = (judged[best].value or 0.0) if best else 0.0
    if best is None or judgement.value is None or value <= judgement.value + MARGIN:
        return ""
    return f"; {best.words} scores higher still ({value:.2f} against {judgement.value:.2f})"
