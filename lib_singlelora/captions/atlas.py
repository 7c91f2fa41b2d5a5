"""The tag atlas: what a danbooru tag speaks of, from a list of known tags and from patterns for all
others.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .tag_rules import RULES
from .text import spaced

FILE = Path(__file__).parent / "atlas.txt"
# A known character's name; no list holds them, taggers say which of their tags are names
NAME = "character"
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
def atlas() -> dict[str, str]:
    """Category by tag, for every listed tag."""
    found: dict[str, str] = {}
    category = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            category = line.strip("[]")
        elif line and not line.startswith("#"):
            found.update(dict.fromkeys((tag.strip() for tag in line.split(",")), category))
    return found


def plain(tag: str) -> str:
    """A tag as the atlas has it: small letters, spaces for underscores, no backslashes before
    brackets.
    """
    return spaced(" ".join(tag.lower().split()).replace("\\(", "(").replace("\\)", ")"))


@cache
def category_of(tag: str) -> str:
    """What the tag speaks of, one of `ORDER`; '' where neither list nor pattern tells."""
    own = plain(tag)
    if own in atlas():
        return atlas()[own]
    return next((category for category, pattern in RULES if pattern.fullmatch(own)), "")


def tags_of(category: str) -> list[str]:
    """The listed tags of a category."""
    return [tag for tag, own in atlas().items() if own == category]


def rank(tag: str) -> int:
    """Place of the tag's category in a caption; unknown ones come last."""
    category = category_of(tag)
    return ORDER.index(category) if category else len(ORDER)
