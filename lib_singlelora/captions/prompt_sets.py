"""The article's prompt sets, built from the captions and traits of a workspace.

A set asks one thing in several ways, so that a sheet tells what a LoRA still does when it is asked:
the character's outfit as it is, the character without what can be taken off, poses, viewpoints,
backgrounds.  What the crops show comes first, then what they never showed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .prompt_language import prompt_of
from .tag_categories import category_of, plain
from .text import split_tags

FRAMINGS = ("portrait", "upper body", "cowboy shot", "full body")
POSES = tuple(
    "standing, sitting, arms up, waving, hand on hip, arms behind back, walking, kneeling".split(
        ", "
    )
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
# Categories that a prompt names where the outfit is another one.
ESSENTIAL = tuple(
    "species, hair colour, hair length, hair style, bangs, eye colour, skin, body".split(", ")
)
MOST = 8  # tags of a kind; more than that no prompt carries
SHARE = 1 / 3  # of the crops that could show a tag; a tag of fewer is the tagger's mistake

Counts = Mapping[str, tuple[int, int]]  # tag: (crops that show it, crops that could)


def build_prompts(
    name: str, trigger: str, class_token: str, captions: Sequence[str], traits: Counts
) -> tuple[str, ...]:
    """The prompts of a set, without duplicates.

    name: one of settings.PROMPT_SETS.
    captions: of the crops.
    traits: tag -> (crops that show it, crops that could).
    """
    subject = (trigger, class_token, "solo")
    shared = [
        tag
        for tag, (shown, able) in sorted(traits.items(), key=lambda item: -item[1][0])
        if shown and shown >= SHARE * able
    ]
    essential = [tag for tag in shared if category_of(tag) in ESSENTIAL][:MOST]
    clothes = [tag for tag in shared if category_of(tag) == "outfit"][:MOST]
    extras = [tag for tag in shared if category_of(tag) == "accessory"][:MOST]
    plainly = ("looking at viewer", *_in_captions(captions, "background", ("simple background",)))

    def prompts(variants: Iterable[Sequence[str]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(prompt_of((*subject, *variant)) for variant in variants))

    if name == "general":
        framings = _in_captions(captions, "framing", FRAMINGS, only=FRAMINGS)
        return prompts(
            [(*clothes, *extras, framing, *plainly) for framing in framings]
            + [(framings[0], *plainly)]
        )
    if name == "custom_outfit":
        # First without hat and bow, then in other clothes.
        bare = [(*essential, *clothes, "upper body", *plainly)] if extras else []
        return prompts(bare + [(*essential, outfit, "cowboy shot", *plainly) for outfit in OUTFITS])
    if name == "poses":
        return prompts(
            (pose, "full body", *plainly)
            for pose in _in_captions(captions, "pose", POSES, ("pose", "hands", "gesture"))
        )
    if name == "viewpoints":
        return prompts((view, "upper body", plainly[-1]) for view in VIEWPOINTS)
    places = _in_captions(captions, "background", BACKGROUNDS)
    return prompts(("cowboy shot", "looking at viewer", place) for place in places)


def _in_captions(
    captions: Sequence[str],
    category: str,
    others: Sequence[str],
    categories: Sequence[str] = (),
    only: Sequence[str] = (),
) -> list[str]:
    """The tag of a category that most captions have, then the others.

    categories: that count as the category; default the category alone.
    only: of the captions' tags just these, but all of them.
    """
    counts = Counter(
        plain(tag)
        for caption in captions
        for tag in split_tags(caption)
        if category_of(tag) in (categories or (category,))
    )
    known = [tag for tag, _ in counts.most_common() if not only or tag in only]
    return list(dict.fromkeys((*(known if only else known[:1]), *others)))[: max(len(others), 1)]
