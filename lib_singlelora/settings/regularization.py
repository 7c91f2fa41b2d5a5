"""Settings of the regularization set: how it is drawn and what is rejected from it."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting
from .drawing import DrawingSettings


@dataclass(frozen=True)
class FilterSettings:
    """What a picture of the class must not be; each rejection can be taken back."""

    filter: bool = setting(
        True,
        label="Filter",
        help=(
            "Moves what would spoil the set to reg/rejected, with reasons; off keeps whatever is"
            " drawn."
        ),
    )
    draw_limit: float = setting(
        3.0,
        label="Draw at most",
        low=1,
        high=50,
        unit="times",
        help=(
            "Pictures drawn for each one wanted; raise it when so many are rejected that the set"
            " stays small."
        ),
    )
    most_tags: int = setting(
        60,
        label="Most tags",
        low=5,
        high=1000,
        help=(
            "More confident tags than that are too complex; lower it when scenes are crowded with"
            " things."
        ),
    )
    most_edges: float = setting(
        0.4,
        label="Most edges",
        low=0.01,
        high=1,
        help=(
            "Share of the picture that may be edges; lower it when pictures are busy, raise it for"
            " hatching."
        ),
    )
    duplicate_likeness: float = setting(
        0.85,
        label="Duplicate from",
        low=0.3,
        high=1,
        help=(
            "Likeness (hash and colours) from which two pictures are the same; lower it when the"
            " set repeats itself."
        ),
    )
    tags_in_common: float = setting(
        0.6,
        label="Tags in common",
        low=0.1,
        high=1,
        help=(
            "Share of the looks or clothes in a picture that may be hers; lower it when some still"
            " look like her."
        ),
    )
    colours_confirm: float = setting(
        0.4,
        label="Colours that confirm",
        low=0,
        high=1,
        help=(
            "Share of the figure's colours that must be hers before tags count; 0 lets tags decide"
            " alone."
        ),
    )
    colours_in_common: float = setting(
        0.8,
        label="Colours in common",
        low=0.1,
        high=1,
        help=(
            "Share of the figure's colours that may be hers whatever the tags say; lower it when"
            " some still look like her."
        ),
    )


@dataclass(frozen=True)
class RegularizationSettings(FilterSettings, DrawingSettings):
    """The set that keeps the class what it was."""

    count: int = setting(
        60, label="Pictures", low=0, high=2000, help="0 trains without a regularization set."
    )
    as_used: bool = setting(
        False,
        label="As many as are used",
        help=(
            "Instead of 'pictures': one for each time that training "
            "shows her, so that none is seen twice; a long training wants hundreds."
        ),
    )
    template: str = setting(
        "1{class}, solo, __expression__, __pose__, __camera_angle__, __framing__, __clothes__,"
        " __place__",
        label="Template",
        help="dynamicprompts template; {class} is the class; one new draw for each picture.",
    )
    wildcards: tuple[str, ...] = setting(
        (),
        label="Wildcard folders",
        path="program",
        help=(
            "Your own folders of .txt files, beside those of the "
            "dynamic-prompts extension; their files hide shipped ones of the same name."
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
