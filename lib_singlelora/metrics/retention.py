"""How much of the character is in a picture, as a tagger sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..captions.tag_categories import category_of

# What belongs to a character whatever the pose and the place
TRAIT_CATEGORIES = frozenset(
    {
        *("species", "hair colour", "hair length", "hair style", "bangs", "eye colour"),
        *("skin", "body", "outfit", "accessory"),
    }
)
SEEN = 0.5  # probability from which on a tag counts as seen
AGREE = 1 / 3  # share of the crops that must show a tag before it counts as a trait

TagProbabilities = Mapping[str, float]  # probability by tag


def common_traits(crops: Sequence[TagProbabilities], limit: int = 24) -> tuple[str, ...]:
    """The traits that enough of the character's crops show, the most certain first."""
    if not crops:
        return ()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for scores in crops:
        for tag, score in scores.items():
            if score >= SEEN and category_of(tag) in TRAIT_CATEGORIES:
                sums[tag] = sums.get(tag, 0.0) + score
                counts[tag] = counts.get(tag, 0) + 1
    shared = [tag for tag in sums if counts[tag] >= max(1, AGREE * len(crops))]
    return tuple(sorted(shared, key=lambda tag: (-sums[tag], tag))[:limit])


@dataclass(frozen=True)
class Retention:
    """The traits in the pictures of one cell.

    counts: pictures in which each trait is seen.
    pictures: how many there are.
    score: mean probability over traits and pictures.
    """

    counts: Mapping[str, int]
    pictures: int
    score: float

    @property
    def seen(self) -> float:
        """Traits seen in a picture, the mean over pictures."""
        return sum(self.counts.values()) / self.pictures if self.pictures else 0.0


def measure_retention(wanted: Sequence[str], pictures: Sequence[TagProbabilities]) -> Retention:
    """How much of the wanted tags the pictures of one cell show."""
    counts = {tag: sum(scores.get(tag, 0.0) >= SEEN for scores in pictures) for tag in wanted}
    values = [scores.get(tag, 0.0) for scores in pictures for tag in wanted]
    return Retention(counts, len(pictures), sum(values) / len(values) if values else 0.0)
