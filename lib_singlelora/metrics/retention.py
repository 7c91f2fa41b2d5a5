"""How much of the character is in a picture, as a tagger sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    by_picture: the score of each picture, the mean probability over traits, weighted.
    """

    counts: Mapping[str, int]
    by_picture: tuple[float, ...]

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self.by_picture)

    @property
    def score(self) -> float:
        """The mean over pictures."""
        return sum(self.by_picture) / self.pictures if self.pictures else 0.0

    @property
    def seen(self) -> float:
        """Traits seen in a picture, the mean over pictures."""
        return sum(self.counts.values()) / self.pictures if self.pictures else 0.0


def trait_weights(
    wanted: Sequence[str], named: Collection[str], base: Sequence[TagProbabilities]
) -> dict[str, float]:
    """How much each trait counts, 0 to 1: one that the prompt names, as far as it takes the LoRA.

    The checkpoint alone draws what a prompt names without knowing the character.  Such a trait
    counts by the share 1 - p that is left to the LoRA, where p is the checkpoint's own rate.

    named: tags of the prompt.
    base: tags of the checkpoint's own pictures of the same prompt; without any, named traits do
        not count.
    """
    return {
        tag: 1.0
        if tag not in named
        else 1 - _mean([scores.get(tag, 0.0) for scores in base])
        if base
        else 0.0
        for tag in wanted
    }


def measure_retention(
    wanted: Sequence[str],
    pictures: Sequence[TagProbabilities],
    weights: Mapping[str, float] | None = None,
) -> Retention:
    """How much of the wanted tags the pictures of one cell show.

    weights: how much each counts; None counts all alike.
    """
    weights = dict.fromkeys(wanted, 1.0) if weights is None else weights
    total = sum(weights[tag] for tag in wanted)
    counts = {tag: sum(scores.get(tag, 0.0) >= SEEN for scores in pictures) for tag in wanted}
    values = [
        sum(weights[tag] * scores.get(tag, 0.0) for tag in wanted) / total if total else 0.0
        for scores in pictures
    ]
    return Retention(counts, tuple(values))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
