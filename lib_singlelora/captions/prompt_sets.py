"""The article's sets of prompts, built from what a workspace's captions and traits say of her.

A set asks one thing in several ways, so that a sheet tells what a LoRA still does when it is asked:
her outfit as it is, her without what can be taken off, poses, viewpoints, backgrounds.  What her
own crops show comes first, then what they never showed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .atlas import category_of, plain
from .prompt_language import prompt_of
from .text import split_tags

FRAMINGS = ("portrait", "upper body", "cowboy shot", "full body")
POSES = (
    "standing",
    "sitting",
    "arms up",
    "waving",
    "hand on hip",
    "arms behind back",
    "walking",
    "kneeling",
)
VIEWPOINTS = ("straight-on", "from side", "from behind", "from above", "from below")
BACKGROUNDS = (
    "white background",
    "indoors, classroom",
    "outdoors, street",
    "outdoors, forest",
    "outdoors, beach",
    "night sky",
)
OUTFITS = (
    "white shirt, black pants",
    "school uniform, pleated skirt",
    "hoodie, shorts",
    "kimono",
    "sundress",
)
ESSENTIAL = (
    "species",
    "hair colour",
    "hair length",
    "hair style",
    "bangs",
    "eye colour",
    "skin",
    "body",
)
MOST = 8  # tags of a kind; more than that no prompt carries
SHARE = 1 / 3  # of the crops that could show a tag; with fewer it is the tagger's slip

Counts = Mapping[str, tuple[int, int]]


def build_prompts(
    name: str, trigger: str, class_token: str, captions: Sequence[str], traits: Counts
) -> tuple[str, ...]:
    """The prompts of a set, one of settings.PROMPT_SETS, none twice.

    captions: of the crops.
    traits: tag -> (crops that show it, crops that could).
    """
    who = (trigger, class_token, "solo")
    hers = [
        tag
        for tag, (seen, able) in sorted(traits.items(), key=lambda item: -item[1][0])
        if seen and seen >= SHARE * able
    ]
    essential = [tag for tag in hers if category_of(tag) in ESSENTIAL][:MOST]
    clothes = [tag for tag in hers if category_of(tag) == "outfit"][:MOST]
    extras = [tag for tag in hers if category_of(tag) == "accessory"][:MOST]
    plainly = ("looking at viewer", *_own(captions, "background", ("simple background",)))

    def prompts(variants: Iterable[Sequence[str]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(prompt_of((*who, *variant)) for variant in variants))

    if name == "general":
        framings = _own(captions, "framing", FRAMINGS, only=FRAMINGS)
        return prompts(
            [(*clothes, *extras, framing, *plainly) for framing in framings]
            + [(framings[0], *plainly)]
        )
    if name == "custom_outfit":
        # Taken off one after the other: hat and bow, then the clothing for another.
        bare = [(*essential, *clothes, "upper body", *plainly)] if extras else []
        return prompts(bare + [(*essential, outfit, "cowboy shot", *plainly) for outfit in OUTFITS])
    if name == "poses":
        return prompts(
            (pose, "full body", *plainly)
            for pose in _own(captions, "pose", POSES, ("pose", "hands", "gesture"))
        )
    if name == "viewpoints":
        return prompts((view, "upper body", plainly[-1]) for view in VIEWPOINTS)
    places = _own(captions, "background", BACKGROUNDS)
    return prompts(("cowboy shot", "looking at viewer", place) for place in places)


def _own(
    captions: Sequence[str],
    category: str,
    others: Sequence[str],
    categories: Sequence[str] = (),
    only: Sequence[str] = (),
) -> list[str]:
    """The tag of a category that most captions have, then the others; `only` these where it is
    given.
    """
    counts = Counter(
        plain(tag)
        for caption in captions
        for tag in split_tags(caption)
        if category_of(tag) in (categories or (category,))
    )
    known = [tag for tag, _ in counts.most_common() if not only or tag in only]
    return list(dict.fromkeys((*(known if only else known[:1]), *others)))[: max(len(others), 1)]
