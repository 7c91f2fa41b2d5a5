"""Whether pictures are harmed: colours burnt, noise, contrast lost, nobody to be recognized, or no
picture at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..captions.atlas import category_of
from ..imaging.colour import to_lab
from .similarity import invalid_reason

Scores = Mapping[str, float]
# Mean probability from which on something counts as drawn there; that of a picture, below which it
# is lost
SURE, SEEN = 0.7, 0.5
NOBODY = "no humans"
EYES_SHUT = frozenset(("closed eyes", "one eye closed"))
# Times what is known to be whole: from the first on it counts, at the second nothing is left
FINE, HARMED = 1.3, 3.0


@dataclass(frozen=True)
class Surface:
    """saturation: mean chroma (CIELAB).  noise: deviation of lightness beside its neighbours.
    contrast: deviation of lightness.

    invalid: why it is no picture, or ''.
    """

    saturation: float
    noise: float
    contrast: float
    invalid: str = ""


def measure_surface(image: Image.Image) -> Surface:
    """What a picture's surface is like; pictures that are compared must have about one size.

    Source of the noise: Immerkær 1996, "Fast Noise Variance Estimation"; the median instead of the
    mean, so that outlines, which LoRAs may well add, do not count.
    """
    lab = to_lab(image)
    light = lab[..., 0]
    lone = (
        4 * light[1:-1, 1:-1]
        - 2 * (light[1:-1, :-2] + light[1:-1, 2:] + light[:-2, 1:-1] + light[2:, 1:-1])
        + light[:-2, :-2]
        + light[:-2, 2:]
        + light[2:, :-2]
        + light[2:, 2:]
    )
    noise = float(np.median(np.abs(lone))) / (6 * 0.6745)  # 0.6745: the median of |N(0, 1)|
    return Surface(
        float(np.hypot(lab[..., 1], lab[..., 2]).mean()),
        noise,
        float(light.std()),
        invalid_reason(image),
    )


def surface_damage(drawn: Surface, whole: Sequence[Surface]) -> tuple[float, str]:
    """(0 to 1, what it is) of a picture beside pictures that are known to be whole: the
    checkpoint's own, and the crops.
    """
    if drawn.invalid:
        return 1.0, drawn.invalid
    if not whole:
        return 0.0, ""
    parts = {
        "burnt colours": _beyond(drawn.saturation, max(one.saturation for one in whole), 1.0),
        "noise": _beyond(drawn.noise, max(one.noise for one in whole), 0.1),
        "flat": _beyond(min(one.contrast for one in whole), drawn.contrast, 1.0),
    }
    worst = max(parts, key=lambda name: parts[name])
    return (parts[worst], worst) if parts[worst] > 0 else (0.0, "")


def _beyond(value: float, reference: float, least: float) -> float:
    ratio = value / max(reference, least)
    return min(1.0, max(0.0, (ratio - FINE) / (HARMED - FINE)))


def subject_missing(seen: Scores, whole: Sequence[Scores]) -> tuple[float, str]:
    """(0 to 1, what it is) of a picture in which the tagger finds nobody, or no eyes, though it
    does in the checkpoint's own.

    seen, whole: probability by tag.  A LoRA that was trained to pieces draws shapes and colours
        that are clean in themselves.
    """
    parts = {"nobody recognizable": _somebody, "no eyes": _eyes}
    found = {
        name: (SEEN - part(seen)) / SEEN
        for name, part in parts.items()
        if whole and sum(part(one) for one in whole) >= SURE * len(whole)
    }
    worst = max(found, key=lambda name: found[name], default="")
    return (min(1.0, found[worst]), worst) if worst and found[worst] > 0 else (0.0, "")


def _somebody(scores: Scores) -> float:
    return max(
        (score for tag, score in scores.items() if category_of(tag) == "count" and tag != NOBODY),
        default=0.0,
    )


def _eyes(scores: Scores) -> float:
    # Together: of eyes whose colour is doubtful no single colour is sure.  Who looks somewhere has
    # eyes of whatever colour.
    eyes = sum(
        score
        for tag, score in scores.items()
        if category_of(tag) == "eye colour" or tag in EYES_SHUT
    )
    return min(
        1.0, max(eyes, *(score for tag, score in scores.items() if category_of(tag) == "gaze"), 0.0)
    )
