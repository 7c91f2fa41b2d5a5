"""How much of her is in a picture, as a tagger sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..captions.atlas import category_of

# What belongs to a character whatever she does and wherever she is.
HERS = frozenset(
    (
        "species",
        "hair colour",
        "hair length",
        "hair style",
        "bangs",
        "eye colour",
        "skin",
        "body",
        "outfit",
        "accessory",
    )
)
SEEN = 0.5
AGREE = 1 / 3  # share of the crops that must show a tag before it counts as hers

Scores = Mapping[str, float]


def common_traits(crops: Sequence[Scores], limit: int = 24) -> tuple[str, ...]:
    """The tags of her that her own crops show, the most certain first.

    crops: probability by tag.
    """
    if not crops:
        return ()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for scores in crops:
        for tag, score in scores.items():
            if score >= SEEN and category_of(tag) in HERS:
                sums[tag], counts[tag] = sums.get(tag, 0.0) + score, counts.get(tag, 0) + 1
    kept = [tag for tag in sums if counts[tag] >= max(1, AGREE * len(crops))]
    return tuple(sorted(kept, key=lambda tag: (-sums[tag], tag))[:limit])


@dataclass(frozen=True)
class Retention:
    """counts: in how many of `pictures` pictures each trait is seen.

    score: mean probability over traits and pictures.
    """

    counts: Mapping[str, int]
    pictures: int
    score: float

    @property
    def kept(self) -> int:
        """Traits seen in at least half of the pictures."""
        return sum(2 * count >= self.pictures for count in self.counts.values())

    @property
    def seen(self) -> float:
        """Traits seen in a picture, the mean over pictures."""
        return sum(self.counts.values()) / self.pictures if self.pictures else 0.0


def measure_retention(wanted: Sequence[str], pictures: Sequence[Scores]) -> Retention:
    """What of the wanted tags some pictures of one cell show."""
    counts = {tag: sum(scores.get(tag, 0.0) >= SEEN for scores in pictures) for tag in wanted}
    values = [scores.get(tag, 0.0) for scores in pictures for tag in wanted]
    return Retention(counts, len(pictures), sum(values) / len(values) if values else 0.0)


Spot = tuple[int, int]


def smooth_scores(values: Mapping[Spot, float]) -> dict[Spot, float]:
    """Each cell's value averaged with its neighbours' at half their weight: one picture a cell is a
    noisy witness.

    Spots are (row, column): neighbouring epochs and strengths.
    """
    found = {}
    for (row, column), value in values.items():
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        near = [values[spot] for spot in around if spot in values]
        found[(row, column)] = (value + 0.5 * sum(near)) / (1 + 0.5 * len(near))
    return found


def choose_gentlest(values: Mapping[Spot, float], within: float = 0.01) -> Spot | None:
    """Of the cells within a share of the best, that nearest to the first epoch and lowest strength:
    the least that does.
    """
    if not values:
        return None
    best = max(values.values())
    good = [spot for spot, value in values.items() if value >= best * (1 - within)]
    return min(good, key=lambda spot: (spot[0] + spot[1], spot[1], spot[0]))
