"""The part of a body that a tag speaks of: a crop without that part cannot show it."""

from __future__ import annotations

import re
from functools import cache

from .tag_categories import category_of, plain
from .tag_patterns import any_of

BACKGROUND = "background"
# Hair reaches down to wherever it is long enough.
HAIR = frozenset(("hair colour", "hair length", "hair style"))
OF_CATEGORY = {
    "hair colour": ("head",),
    "hair length": ("head",),
    "hair style": ("head",),
    "bangs": ("head",),
    "eye colour": ("eyes",),
    "gaze": ("eyes",),
    "expression": ("face",),
    "mouth": ("mouth",),
    "chest": ("torso",),
    "background": (BACKGROUND,),
}
_HEAD = any_of(
    """
    hat cap beret beanie bonnet fedora headwear headband hairband headdress headscarf headphone
    headset earphone earbud earmuff earring crown tiara halo helmet circlet diadem glasses
    sunglasses eyewear goggle eyepatch monocle mask veil hairclip hairpin kanzashi blindfold
    hood_up (cat|fox|wolf|dog|rabbit|mouse|bear|animal|pointy|horse|cow|elf)_ear horn antler
    """
)
_FACE = any_of(
    """
    eyebrows? eyelashes freckles makeup lipstick eyeshadow eyeliner mascara beard mustache stubble
    facial_hair facial_mark pupils sclera nose mole_under_eye mole_under_mouth
    """
)
_NECK = any_of("choker necklace pendant locket necktie bowtie ascot neckerchief cravat jabot")
_TORSO = any_of(
    """
    shirt t-shirt blouse corset bustier bra vest waistcoat sweater cardigan hoodie pullover
    sweatshirt camisole tank_top tube_top crop_top sailor_collar lapel bolero capelet blazer jacket
    suspender breastplate cleavage collarbone bare_shoulder midriff navel sideboob underboob armpit
    """
)
_HIPS = any_of(
    """
    skirt miniskirt microskirt overskirt pants jeans shorts panties bloomers petticoat trousers
    buruma sweatpants
    """
)
_WAIST = any_of("belt sash obi")
_LEGS = any_of(
    """
    thighhigh kneehigh over-kneehigh pantyhose sock legwear legging stocking tights fishnet
    garter_strap garter_belt thigh_strap bare_leg thigh anklet knee_pad leg_warmer boot footwear
    zettai_ryouiki
    """
)
_FEET = any_of(
    """
    shoe sandal high_heel sneaker loafer slipper barefoot mary_jane geta zouri tabi clog
    flip-flop uwabaki toenail
    """
)
_STANCE = any_of(
    """
    standing sitting kneeling squatting crouching walking running jumping seiza wariza yokozuwari
    straddling tiptoes indian_style crossed_legs crossed_ankles on_one_knee legs?_up legs_apart
    legs_together spread_legs knees?_up pigeon-toed standing_on_one_leg
    """
)


def _noun(words: str) -> re.Pattern[str]:
    """Tags that end in one of the words, whatever stands before it."""
    return re.compile(rf"(.*[ -])?({words})(e?s)?( \(.*\))?")


# The first that fits counts.
_RULES = (
    (re.compile(r".*\b(removed|unworn|around neck|around waist|on ground|lift)\b.*"), ()),
    (re.compile(r"(hair|hat|headwear|ear|horn) \w+"), ("head",)),
    (_noun(_HEAD), ("head",)),
    (_noun(_FACE), ("face",)),
    (_noun(_NECK), ("neck", "torso")),
    (_noun(_TORSO), ("torso", "hips")),
    (_noun(_HIPS), ("hips", "legs")),
    (_noun(_WAIST), ("torso", "hips")),
    (_noun(_LEGS), ("legs", "feet")),
    (_noun(_FEET), ("feet",)),
)
_WORN = frozenset(("outfit", "accessory", "body", "species"))


@cache
def parts_of(tag: str) -> tuple[str, ...]:
    """The parts of which a crop must show one for the tag to be true; () where any crop may.

    They are those of `crops/body.py`.
    """
    plain_tag = plain(tag)
    category = category_of(plain_tag)
    if category in OF_CATEGORY:
        return OF_CATEGORY[category]
    if category == "pose":
        return ("legs", "feet") if re.fullmatch(_STANCE, plain_tag) else ()
    if category not in _WORN:
        return ()
    return next((parts for pattern, parts in _RULES if pattern.fullmatch(plain_tag)), ())
