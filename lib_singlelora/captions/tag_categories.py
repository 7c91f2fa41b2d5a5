"""The category of a danbooru tag: hair, clothes, pose …

A list holds the known tags (`tag_categories.txt`); patterns tell all others (`tag_patterns.py`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .tag_patterns import RULES
from .text import spaced

FILE = Path(__file__).parent / "tag_categories.txt"
# The category of a known character's name.  The list has none: a tagger's table says which of
# its tags are names.
NAME = "character"
# Every category, in the order that tags have in a caption.
ORDER = (
    "count",
    "framing",
    "viewpoint",
    NAME,
    "species",
    "hair colour",
    "hair length",
    "hair style",
    "bangs",
    "eye colour",
    "chest",
    "skin",
    "body",
    "pose",
    "hands",
    "gesture",
    "gaze",
    "expression",
    "mouth",
    "outfit",
    "accessory",
    "object",
    "background",
    "lighting",
    "style",
    "quality",
)


@cache
def categories_by_tag() -> dict[str, str]:
    """The category of every listed tag."""
    categories: dict[str, str] = {}
    category = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            category = line.strip("[]")
        elif line and not line.startswith("#"):
            categories.update(dict.fromkeys((tag.strip() for tag in line.split(",")), category))
    return categories


def plain(tag: str) -> str:
    """A tag as the list writes it: lower case, spaces for underscores, brackets unescaped."""
    return spaced(" ".join(tag.lower().split()).replace("\\(", "(").replace("\\)", ")"))


@cache
def category_of(tag: str) -> str:
    """The tag's category, one of `ORDER`; '' where neither the list nor a pattern knows it."""
    plain_tag = plain(tag)
    if plain_tag in categories_by_tag():
        return categories_by_tag()[plain_tag]
    return next((category for category, pattern in RULES if pattern.fullmatch(plain_tag)), "")


def tags_of(category: str) -> list[str]:
    """The listed tags of a category."""
    return [tag for tag, listed in categories_by_tag().items() if listed == category]


def rank(tag: str) -> int:
    """The place of the tag's category in a caption; tags without one come last."""
    category = category_of(tag)
    return ORDER.index(category) if category else len(ORDER)
