"""The form of a caption: order, duplicates, tags that others imply, underscores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from .atlas import category_of, plain, rank
from .text import join_tags, underscored

Order = Literal["category", "certainty", "alphabet"]
_NOT_WORN = ("no ", "unworn ", "fake ", "removed ")
# Standing of standing on one leg
_FIRST = ("standing", "sitting", "lying", "kneeling", "walking", "running", "holding")
# Where the more exact tag does not simply end with the other one: its pattern, what it implies.
_IMPLIED = (
    (r"(?!simple|blurry|detailed|photo|text|dark).+ background", ("simple background",)),
    (r"hat (bow|ribbon|flower|feather|ornament)", ("hat",)),
    (r"(mini|micro)skirt|hakama skirt", ("skirt",)),
    (r"sundress|ballgown|.* gown", ("dress",)),
    (r"(?!animal|pointy|long|extra|mechanical|robot|elf).+ ears", ("animal ears",)),
    (r".*(earrings?|necklace|bracelet|ring|pendant|brooch|anklet|choker)", ("jewelry",)),
    (r"serafuku|gakuran", ("school uniform",)),
    (r"kimono|yukata|hakama.*|haori|miko", ("japanese clothes",)),
    (
        r"split-color hair|streaked hair|gradient hair|colored inner hair|two-tone hair",
        ("multicolored hair",),
    ),
    (r"[2-6]\+?girls", ("multiple girls",)),
    (r"[2-6]\+?boys", ("multiple boys",)),
    (r"(ankle|knee|thigh|high heel|lace-up|rubber) boots", ("boots",)),
)
_PATTERNS = tuple((re.compile(pattern), tags) for pattern, tags in _IMPLIED)


def unique(tags: Iterable[str]) -> list[str]:
    """The tags without repeated ones, however they are written; the first stays."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(plain(tag), tag)
    return list(found.values())


def implied(tag: str) -> set[str]:
    """Tags that say less of the same: dress of white dress, hat of hat bow."""
    own = plain(tag)
    if own.startswith(_NOT_WORN):
        return set()
    words, category = own.split(), category_of(own)
    found = {" ".join(words[start:]) for start in range(1, len(words))}
    found = {tail for tail in found if category_of(tail) == category}
    if words[0] in _FIRST and len(words) > 1:
        found.add(words[0])
    for pattern, tags in _PATTERNS:
        if pattern.fullmatch(own):
            found |= set(tags)
    return found - {own}


def without_implied(tags: Sequence[str]) -> list[str]:
    """The tags without those that another of them implies."""
    said = set().union(*(implied(tag) for tag in tags)) if tags else set()
    return [tag for tag in tags if plain(tag) not in said]


def arrange(
    front: Sequence[str],
    tags: Sequence[str],
    *,
    order: Order = "category",
    drop_implied: bool = False,
    underscores: bool = False,
) -> str:
    """One caption: front (trigger and class) stays in front and as it is, then the tags, each once.

    tags: most certain first.
    order: by category (certain ones first in each), by certainty, or by letters.
    """
    own = unique(tags)
    if drop_implied:
        own = without_implied(own)
    if order == "category":
        own = sorted(own, key=rank)
    elif order == "alphabet":
        own = sorted(own, key=str.lower)
    return join_tags([*front, *(underscored(tag) if underscores else tag for tag in own)])
