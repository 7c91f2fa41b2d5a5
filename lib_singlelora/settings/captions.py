"""What is written beside each crop: who looks, what is left out, in which form."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting

PRUNED = ("hair colour", "hair length", "bangs", "eye colour", "chest", "skin", "character")
SHARED = ("hair style", "body", "species")


@dataclass(frozen=True)
class LookingSettings:
    """Who looks at the pictures, and how sure it must be."""

    tagger: tuple[str, ...] = setting(
        (),
        label="Tagger",
        path="program",
        help=(
            "Empty: the first found; none: plain captions; else folders with model.onnx and"
            " selected_tags.csv, or names such as wd-swinv2-tagger-v3, which are downloaded once,"
            " and in the WebUI deepbooru; of several the tags are merged."
        ),
    )
    thresholds: str = setting(
        "fixed",
        label="Thresholds",
        choices=("fixed", "MCut"),
        help=(
            "fixed takes the two numbers below; MCut finds the largest gap in each picture's own"
            " scores."
        ),
    )
    general_threshold: float = setting(
        0.35,
        label="General threshold",
        low=0,
        high=1,
        help="Raise it when captions name things that are not there.",
    )
    character_threshold: float = setting(
        0.85,
        label="Character threshold",
        low=0,
        high=1,
        help="Above this probability a known character's name counts as seen.",
    )
    rating: bool = setting(
        False,
        label="Rating",
        help="Adds rating:general, rating:sensitive and so on, as the tagger judges.",
    )


@dataclass(frozen=True)
class CaptionSettings(LookingSettings):
    """The words beside each crop.  What a caption does not say, the trigger learns."""

    prune: tuple[str, ...] = setting(
        PRUNED,
        label="Always left out",
        help=(
            "Categories that are hers: left out, so that her trigger brings them; all others stay"
            " and prompts can change them."
        ),
    )
    prune_shared: tuple[str, ...] = setting(
        SHARED,
        label="Left out when shared",
        help=(
            "Categories whose tags are left out where most of the crops that could show them agree,"
            " and stay where they differ."
        ),
    )
    outfit: str = setting(
        "keep",
        label="Outfit",
        choices=("keep", "prune"),
        help=(
            "keep names her clothes, so that prompts can change them; prune makes them hers for"
            " good."
        ),
    )
    keep: tuple[str, ...] = setting(
        (), label="Keep nevertheless", help="Tags or categories that are never left out."
    )
    drop: tuple[str, ...] = setting(
        (), label="Leave out too", help="Further tags or categories to leave out of every caption."
    )
    implied: str = setting(
        "keep",
        label="Implied tags",
        choices=("keep", "drop"),
        help="drop leaves out what a more exact tag says already: dress beside white dress.",
    )
    order: str = setting(
        "category",
        label="Order",
        choices=("category", "certainty", "alphabet"),
        help=(
            "Of what follows trigger and class: by category, by the tagger's certainty, or by"
            " letters."
        ),
    )
    underscores: bool = setting(
        False, label="Underscores", help="Writes white_dress instead of white dress."
    )
