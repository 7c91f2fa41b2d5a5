"""Settings of the regularization set: how it is generated, and what is rejected from it."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting
from .drawing import DrawingSettings


@dataclass(frozen=True)
class FilterSettings:
    """Filter.

    A rejected picture moves to reg/rejected and can be taken back.
    """

    filter: bool = setting(
        True,
        label="Filter",
        help=(
            "Moves pictures that would spoil the set to reg/rejected, with the reasons; off keeps "
            "everything."
        ),
    )
    draw_limit: float = setting(
        3.0,
        label="Generate at most",
        low=1,
        high=50,
        unit="times",
        help=(
            "Pictures generated per picture wanted; raise it when rejections leave the set too "
            "small."
        ),
    )
    most_tags: int = setting(
        60,
        label="Max tags",
        low=5,
        high=1000,
        help=(
            "Pictures with more confident tags are too complex; lower it when scenes are cluttered."
        ),
    )
    most_edges: float = setting(
        0.4,
        label="Max edges",
        low=0.01,
        high=1,
        help=(
            "Share of the picture that may be edges; lower it when pictures are busy, raise it "
            "for hatched styles."
        ),
    )
    duplicate_likeness: float = setting(
        0.85,
        label="Duplicate threshold",
        low=0.3,
        high=1,
        help=(
            "Similarity (hash and colours) from which two pictures are duplicates; lower it when "
            "the set repeats itself."
        ),
    )
    tags_in_common: float = setting(
        0.6,
        label="Max tags in common",
        low=0.1,
        high=1,
        help=(
            "Share of the tags for looks or clothes that may be the character's; lower it when "
            "pictures still resemble the character."
        ),
    )
    colours_confirm: float = setting(
        0.4,
        label="Confirming colours",
        low=0,
        high=1,
        help=(
            "Share of the figure's colours that must be the character's before its tags reject a "
            "picture; 0 lets tags decide alone."
        ),
    )
    colours_in_common: float = setting(
        0.8,
        label="Max colours in common",
        low=0.1,
        high=1,
        help=(
            "Share of the figure's colours that may be the character's, whatever the tags say; "
            "lower it when pictures still resemble the character."
        ),
    )


@dataclass(frozen=True)
class RegularizationSettings(FilterSettings, DrawingSettings):
    """Regularization set."""

    count: int = setting(
        60,
        label="Pictures",
        low=0,
        high=2000,
        help=(
            "Size of the set; 0 trains without one. Run everything draws none where "
            "training.regularization shows none."
        ),
    )
    as_used: bool = setting(
        False,
        label="As many as are used",
        help=(
            "Instead of 'Pictures': one for each time that training shows a crop, so that none "
            "repeats; a long training needs hundreds."
        ),
    )
    prompts: str = setting(
        "template",
        label="Prompts",
        choices=("template", "class twins"),
        help=(
            "template: drawn from the template below. class twins: each crop's caption without "
            "the trigger, as prompt and as caption, so that the class differs from the character "
            "in the trigger alone."
        ),
    )
    template: str = setting(
        "1{class}, solo, __expression__, __pose__, __camera_angle__, __framing__, __clothes__,"
        " __place__",
        label="Template",
        help="dynamicprompts template, drawn anew for each picture; {class} is the class.",
    )
    wildcards: tuple[str, ...] = setting(
        (),
        label="Wildcard folders",
        path="program",
        help=(
            "Your own folders of .txt files, besides those of the dynamic-prompts extension; "
            "they override shipped wildcards of the same name."
        ),
    )
    seed: int = setting(
        1,
        label="Seed",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help="First seed; picture n uses seed + n.",
    )
