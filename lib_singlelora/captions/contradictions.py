"""Groups of tags of which one picture can bear out only one: open or closed eyes, one girl or two.

A group's alternatives each have their tags.  What the whole picture shows bounds what its parts can
show, so the groups hold only what is the same in all crops of a picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from .tag_categories import category_of, plain
from .tag_patterns import COLOUR, any_of
from .visible_parts import BACKGROUND


@dataclass(frozen=True, eq=False)
class Group:
    """Alternatives that contradict one another.

    alternatives: name -> pattern of its tags, as the list of categories writes them.
    part: what a picture must show to bear witness; '' for any picture.
    exclusive: True if no picture shows two of them.
    small: True for what may be too small in the whole picture to be told there.
    """

    name: str
    alternatives: Mapping[str, re.Pattern[str]]
    part: str = ""
    exclusive: bool = True
    small: bool = False


def _tags(words: str) -> re.Pattern[str]:
    return re.compile(any_of(words))


_OUTDOORS = any_of(
    r"""
    outdoors scenery landscape nature .*\bsky clouds? day night evening sunset sunrise twilight dusk
    dawn sun moon full_moon crescent_moon ocean sea beach shore waves underwater lake river stream
    waterfall forest jungle woods trees? palm_tree cherry_blossoms bush grass field flower_field
    meadow garden park hill mountains? cliff desert island snow snowing rain storm city cityscape
    skyline skyscraper building street road alley sidewalk bridge town village rooftop horizon
    ruins castle shrine torii starry_sky night_sky poolside pool balcony
    """
)
_INDOORS = any_of(
    r"""
    indoors .*\broom bedroom bathroom kitchen library classroom hallway gym office laboratory prison
    factory restaurant cafe bakery shop store museum aquarium theater ceiling fireplace chandelier
    bookshelf chalkboard tatami fusuma shouji interior .*_interior wooden_floor tile_floor tile_wall
    """
)
BACKGROUND_COLOURS = (
    "white",
    "grey",
    "black",
    "red",
    "orange",
    "yellow",
    "green",
    "aqua",
    "blue",
    "purple",
    "pink",
    "brown",
    "beige",
)
_SEVERAL = r"([2-9]|\d\d)\+?(girls|boys|others)"
_OTHERS = any_of(
    """
    multiple_girls multiple_boys multiple_others group couple duo trio quartet crowd everyone twins
    siblings sisters brothers brother_and_sister hetero yuri yaoi clone multiple_persona
    size_difference height_difference age_difference
    """
)
PLACE = Group(
    "place",
    {
        "a plain background": re.compile(rf"(simple|transparent|{COLOUR}) background"),
        "outdoors": re.compile(_OUTDOORS),
        "indoors": re.compile(_INDOORS),
    },
    part=BACKGROUND,
)
GROUPS = (
    Group(
        "persons",
        {
            "nobody": _tags("no_humans"),
            "one person": _tags("1girl 1boy 1other solo"),
            "several persons": re.compile(rf"{_SEVERAL}|{_OTHERS}"),
        },
    ),
    Group(
        "kind of person",
        {
            "a girl": re.compile(r"(\d\+?girls?|multiple girls)"),
            "a boy": re.compile(r"(\d\+?boys?|multiple boys|male focus)"),
            "another": re.compile(r"\d\+?others?|multiple others"),
        },
        exclusive=False,
    ),
    Group(
        "side of the body",
        {
            "the front": _tags("from_front front_view straight-on looking_at_viewer facing_viewer"),
            "the side": _tags("from_side profile side_view"),
            "the back": _tags("from_behind back_view facing_away"),
        },
        part="eyes",
        exclusive=False,
        small=True,
    ),
    Group(
        "height of the view",
        {
            "from above": _tags("from_above high-angle_shot bird's-eye_view overhead_shot"),
            "from below": _tags("from_below low-angle_shot worm's-eye_view"),
        },
    ),
    Group(
        "eyes",
        {
            "closed eyes": re.compile(r"closed eyes|sleeping|u_u|\^_\^|>_<"),
            "open eyes": _tags("looking_at_viewer wide-eyed half-closed_eyes"),
        },
        part="eyes",
        small=True,
    ),
    Group(
        "gaze",
        {
            "looking at viewer": _tags("looking_at_viewer eye_contact"),
            "looking elsewhere": re.compile(
                r"looking (away|to the side|down|up|afar|ahead|back|over shoulder|at another)"
                r"|avert(ing|ed) eyes|facing (away|to the side)"
            ),
        },
        part="eyes",
        exclusive=False,
        small=True,
    ),
    Group(
        "mouth",
        {
            "open mouth": _tags("open_mouth wide_open_mouth :d :o yawning shouting screaming"),
            "closed mouth": _tags("closed_mouth :q pursed_lips"),
        },
        part="mouth",
        small=True,
    ),
    Group(
        "mood",
        {
            "a smile": re.compile(r"(.* )?(smile|grin|smirk)|happy|laughing|:d|\^_\^"),
            "a frown": _tags("frown light_frown angry sad scowl annoyed pout crying despair"),
        },
        part="face",
        exclusive=False,
        small=True,
    ),
    Group(
        "pose",
        {
            "standing": _tags("standing walking running standing_on_one_leg contrapposto tiptoes"),
            "sitting": _tags("sitting seiza wariza yokozuwari indian_style straddling on_chair"),
            "kneeling": _tags("kneeling on_one_knee squatting crouching all_fours"),
            "lying": _tags("lying on_back on_stomach reclining sleeping"),
            "in the air": _tags("jumping midair flying falling"),
        },
        part="legs",
        exclusive=False,
    ),
    Group(
        "length of the hair",
        {
            "short hair": _tags("short_hair very_short_hair bald"),
            "medium hair": _tags("medium_hair shoulder-length_hair"),
            "long hair": _tags("long_hair very_long_hair absurdly_long_hair waist-length_hair"),
        },
        part="head",
    ),
    PLACE,
)
# Told by the pixels alone: of a lively background each crop shows other colours.
BACKGROUND_COLOUR = Group(
    "colour of the background",
    {
        f"a {colour} background": re.compile(rf"{colour} background")
        for colour in BACKGROUND_COLOURS
    },
    part=BACKGROUND,
)
# What is said of a picture as a whole: no part of it is so by itself.
WHOLE_ONLY = re.compile(
    any_of(
        r"""
        monochrome greyscale sepia multiple_views comic [0-9]koma character_sheet reference_sheet
        turnaround model_sheet split_screen cover scenery
        """
    )
)


@cache
def alternative_of(group: Group, tag: str) -> str:
    """The alternative that a tag speaks for; '' for none."""
    plain_tag = plain(tag)
    if group.name == "eyes" and category_of(plain_tag) == "eye colour":
        return "open eyes"
    return next(
        (name for name, pattern in group.alternatives.items() if pattern.fullmatch(plain_tag)), ""
    )
