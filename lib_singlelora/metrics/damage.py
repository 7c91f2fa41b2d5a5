"""Damage in pictures: burnt colours, noise, lost contrast, a missing subject, or no picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..captions.tag_categories import category_of
from ..imaging.colour import to_lab
from .retention import TagProbabilities
from .similarity import invalid_reason

# Mean probability in the checkpoint's own pictures from which on something counts as drawn there
DRAWN = 0.7
# Probability in a picture below which it counts as missing
MISSING = 0.5
NOBODY = "no humans"
HEAD = (0.25, 0.0, 0.75, 0.5)  # where a standing figure's is; left, top, right, bottom in shares
EYES_SHUT = frozenset(("closed eyes", "one eye closed"))
# Multiples of the worst value among valid pictures: damage begins at the first, is whole at the
# second
DAMAGE_FROM = 1.3
DAMAGE_FULL = 3.0


@dataclass(frozen=True)
class Surface:
    """The surface of a picture.

    saturation: mean chroma (CIELAB).
    noise: deviation of a pixel's lightness from its neighbours'.
    contrast: deviation of lightness.
    invalid: why it is no picture, or ''.
    """

    saturation: float
    noise: float
    contrast: float
    invalid: str = ""


def measure_surface(image: Image.Image) -> Surface:
    """The surface of a picture; pictures that are compared must have about one size.

    Source of the noise: Immerkær 1996, "Fast Noise Variance Estimation"; the median instead of the
    mean, so that outlines, which LoRAs may well add, do not count.
    """
    lab = to_lab(image)
    light = lab[..., 0]
    laplacian = (
        4 * light[1:-1, 1:-1]
        - 2 * (light[1:-1, :-2] + light[1:-1, 2:] + light[:-2, 1:-1] + light[2:, 1:-1])
        + light[:-2, :-2]
        + light[:-2, 2:]
        + light[2:, :-2]
        + light[2:, 2:]
    )
    return Surface(
        saturation=float(np.hypot(lab[..., 1], lab[..., 2]).mean()),
        noise=float(np.median(np.abs(laplacian))) / (6 * 0.6745),  # the median of |N(0, 1)|
        contrast=float(light.std()),
        invalid=invalid_reason(image),
    )


def surface_damage(drawn: Surface, valid: Sequence[Surface]) -> tuple[float, str]:
    """(0 to 1, the kind of damage) of a picture beside valid ones.

    valid: of pictures known to be undamaged: the checkpoint's own, and the crops.
    """
    if drawn.invalid:
        return 1.0, drawn.invalid
    if not valid:
        return 0.0, ""
    kinds = {
        "burnt colours": _excess(drawn.saturation, max(each.saturation for each in valid), 1.0),
        "noise": _excess(drawn.noise, max(each.noise for each in valid), 0.1),
        "flat": _excess(min(each.contrast for each in valid), drawn.contrast, 1.0),
    }
    worst = max(kinds, key=lambda name: kinds[name])
    return (kinds[worst], worst) if kinds[worst] > 0 else (0.0, "")


def _excess(value: float, reference: float, least: float) -> float:
    """How far a value exceeds the reference, 0 to 1; the reference counts as `least` or more."""
    ratio = value / max(reference, least)
    return min(1.0, max(0.0, (ratio - DAMAGE_FROM) / (DAMAGE_FULL - DAMAGE_FROM)))


@dataclass(frozen=True)
class CloserLook:
    """What a tagger sees where a standing figure's head is (`HEAD`).

    In a small full body it takes eyes for none, and none for eyes.

    scores: of the picture.
    base: of the checkpoint's own pictures.
    """

    scores: TagProbabilities
    base: Sequence[TagProbabilities]


def subject_missing(
    scores: TagProbabilities, base: Sequence[TagProbabilities], closer: CloserLook | None = None
) -> tuple[float, str]:
    """(0 to 1, what is missing) where the tagger finds nobody, or no eyes, in a picture.

    Counts only what it does find in the checkpoint's own pictures.  Pixels do not show this: an
    overfitted LoRA draws shapes and colours that are clean in themselves.

    base: tags of the checkpoint's own pictures.
    closer: where eyes are looked for too; both looks count alike.
    """
    looks = [(scores, base), *([(closer.scores, closer.base)] if closer else [])]
    eyes = [_eyes(own) for own, others in looks if _is_drawn(_eyes, others)]
    parts = {"no eyes": sum(eyes) / len(eyes)} if eyes else {}
    if _is_drawn(_somebody, base):
        parts = {"nobody recognizable": _somebody(scores), **parts}
    missing = {name: (MISSING - part) / MISSING for name, part in parts.items()}
    worst = max(missing, key=lambda name: missing[name], default="")
    return (min(1.0, missing[worst]), worst) if worst and missing[worst] > 0 else (0.0, "")


def _is_drawn(part: Callable[[TagProbabilities], float], base: Sequence[TagProbabilities]) -> bool:
    """True for what the checkpoint's own pictures show."""
    return bool(base) and sum(map(part, base)) >= DRAWN * len(base)


def _somebody(scores: TagProbabilities) -> float:
    """Probability that somebody is in the picture."""
    counts = (s for tag, s in scores.items() if category_of(tag) == "count" and tag != NOBODY)
    return max(counts, default=0.0)


def _eyes(scores: TagProbabilities) -> float:
    """Probability that eyes are in the picture."""
    # The sum, for of eyes whose colour is doubtful no single colour is sure.
    eyes = sum(
        score
        for tag, score in scores.items()
        if category_of(tag) == "eye colour" or tag in EYES_SHUT
    )
    # Who looks somewhere has eyes of whatever colour.
    gaze = max((s for tag, s in scores.items() if category_of(tag) == "gaze"), default=0.0)
    return min(1.0, max(eyes, gaze, 0.0))
