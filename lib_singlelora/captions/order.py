"""How a caption is written: order, duplicates, implied tags, underscores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from .tag_categories import category_of, plain, rank
from .text import join_tags, underscored

Order = Literal["category", "certainty", "alphabet"]
_NOT_WORN = ("no ", "unworn ", "fake ", "removed ")
# "standing on one leg" implies its first word, "standing".
_IMPLIED_FIRST_WORDS = ("standing", "sitting", "lying", "kneeling", "walking", "running", "holding")
# (pattern of a tag, what it implies), where it does not simply end with the tag it implies.
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
    """The tags without duplicates, however they are written; the first stays."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(plain(tag), tag)
    return list(first.values())


def implied(tag: str) -> set[str]:
    """The more general tags that a tag implies: "white dress" implies "dress", "hat bow" "hat"."""
    plain_tag = plain(tag)
    if plain_tag.startswith(_NOT_WORN):
        return set()
    words = plain_tag.split()
    category = category_of(plain_tag)
    tails = {" ".join(words[start:]) for start in range(1, len(words))}
    general = {tail for tail in tails if category_of(tail) == category}
    if words[0] in _IMPLIED_FIRST_WORDS and len(words) > 1:
        general.add(words[0])
    for pattern, tags in _PATTERNS:
        if pattern.fullmatch(plain_tag):
            general |= set(tags)
    return general - {plain_tag}


def without_implied(tags: Sequence[str]) -> list[str]:
    """The tags without those that another of them implies."""
    redundant = {general for tag in tags for general in implied(tag)}
    return [tag for tag in tags if plain(tag) not in redundant]


def arrange(
    front: Sequence[str],
    tags: Sequence[str],
    *,
    order: Order = "category",
    drop_implied: bool = False,
    underscores: bool = False,
) -> str:
    """One caption: front (trigger and class) unchanged, then the tags, each once.

    tags: the most certain first.
    order: by category (the most certain first in each), by certainty, or alphabetically.
    """
    arranged = unique(tags)
    if drop_implied:
        arranged = without_implied(arranged)
    if order == "category":
        arranged = sorted(arranged, key=rank)
    elif order == "alphabet":
        arranged = sorted(arranged, key=str.lower)
    return join_tags([*front, *(underscored(tag) if underscores else tag for tag in arranged)])
