"""Settings of the captions: which tagger, which of its tags are pruned, in which form."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting

PRUNED = ("hair colour", "hair length", "bangs", "eye colour", "chest", "skin", "character")
SHARED = ("hair style", "body", "species")


@dataclass(frozen=True)
class TaggerSettings:
    """Tagger."""

    tagger: tuple[str, ...] = setting(
        (),
        label="Tagger",
        path="program",
        help=(
            "Empty: the first one available. none: plain captions. Otherwise folders with "
            "model.onnx and selected_tags.csv, names such as wd-swinv2-tagger-v3 (downloaded "
            "once), or in the WebUI deepbooru; tags of several taggers are merged."
        ),
    )
    thresholds: str = setting(
        "fixed",
        label="Thresholds",
        choices=("fixed", "MCut"),
        help=(
            "fixed uses the two thresholds below; MCut cuts each picture's scores at their "
            "largest gap."
        ),
    )
    general_threshold: float = setting(
        0.35,
        label="General threshold",
        low=0,
        high=1,
        help="Probability from which a tag counts; raise it when captions name absent things.",
    )
    character_threshold: float = setting(
        0.85,
        label="Character threshold",
        low=0,
        high=1,
        help="Probability from which the name of a known character counts.",
    )
    rating: bool = setting(
        False,
        label="Rating",
        help="Adds the tagger's rating: rating:general, rating:sensitive and so on.",
    )


@dataclass(frozen=True)
class CaptionSettings(TaggerSettings):
    """Captions.

    What a caption does not mention is learned by the trigger.
    """

    prune: tuple[str, ...] = setting(
        PRUNED,
        label="Always pruned",
        help=(
            "Tag categories that are left out of every caption, so that the trigger learns them; "
            "tags that stay can be changed by prompts."
        ),
    )
    prune_shared: tuple[str, ...] = setting(
        SHARED,
        label="Pruned when shared",
        help=(
            "Categories whose tags are left out where most of the crops that could show them "
            "agree, and kept where your own pictures differ; of a single picture all are left out."
        ),
    )
    outfit: str = setting(
        "keep",
        label="Outfit",
        choices=("keep", "prune", "both"),
        help=(
            "keep: captions name the clothes, and prompts can change them. prune: the outfit "
            "becomes part of the character. both: two lines a caption, with the clothes and "
            "without, shown by turns."
        ),
    )
    outfit_trigger: str = setting(
        "",
        label="Outfit trigger",
        word="outfit trigger",
        help=(
            "A second trigger that stands for the clothes, wherever captions leave out clothes "
            "that the crop shows; it needs outfit=prune or both."
        ),
    )
    implausible: str = setting(
        "drop",
        label="Implausible tags",
        choices=("drop", "keep"),
        help=(
            "drop leaves out what a crop cannot show or the whole picture contradicts, such as"
            " boots on a close-up of the face, or 2girls beside 1girl; keep trusts the tagger."
        ),
    )
    keep: tuple[str, ...] = setting(
        (), label="Never pruned", help="Tags or categories that stay in the captions regardless."
    )
    drop: tuple[str, ...] = setting(
        (), label="Also pruned", help="Further tags or categories to leave out of every caption."
    )
    implied: str = setting(
        "keep",
        label="Implied tags",
        choices=("keep", "drop"),
        help="drop leaves out tags that a more specific one implies: dress beside white dress.",
    )
    order: str = setting(
        "category",
        label="Tag order",
        choices=("category", "certainty", "alphabet"),
        help=(
            "Order of the tags after trigger and class: by category, by the tagger's confidence, "
            "or alphabetical."
        ),
    )
    underscores: bool = setting(
        False, label="Underscores", help="Writes white_dress instead of white dress."
    )
