"""Prompts that probe a LoRA beyond the sheet's own.

Some ask for the character in other poses, views, places and clothes, some do not call it at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..captions.prompt_language import escape, prompt_of
from ..captions.tag_categories import category_of
from .retention import SEEN, TagProbabilities

# One prompt a row: a framing in which all of it can be seen, then the alternatives for each thing
# that is asked; of these the first that no crop shows is taken.
ASKS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    (
        "cowboy shot",
        (("arms up", "waving"), ("closed eyes", "open mouth"), ("outdoors", "indoors")),
    ),
    (
        "upper body",
        (("from side",), ("open mouth", "frown"), ("blue background", "pink background")),
    ),
    ("full body", (("sitting",), ("frown", "angry"), ("grey background", "green background"))),
    ("upper body", (("from behind",), ("indoors", "outdoors"))),
)
OTHER_CLOTHES = ("blue dress", "red dress", "black dress", "green shirt")
OTHER_BACKGROUNDS = ("pink background", "green background")


@dataclass(frozen=True)
class Probe:
    """A prompt, and the tags of it that a tagger must see in its pictures."""

    prompt: str
    asks: tuple[str, ...] = ()


def character_probes(
    trigger: str,
    class_token: str,
    captions: Sequence[Sequence[str]],
    known: Collection[str] | None = None,
    clothes: Sequence[str] = (),
) -> tuple[Probe, ...]:
    """Prompts with the trigger that ask for what no crop shows.

    captions: the tags of each crop.
    known: tags that the tagger can see; None asks for all of them.
    clothes: those that captions name; they go into the prompts, except where others are asked for.
    """
    shown = {tag for tags in captions for tag in tags}
    frequent = [
        tag
        for tag in dict.fromkeys(tag for tags in captions for tag in tags)
        if 2 * sum(tag in tags for tags in captions) > len(captions)
    ]
    count = [tag for tag in frequent if category_of(tag) == "count"] or ["solo"]
    start = (trigger, class_token, *count)

    def choose(alternatives: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Of each thing to ask for the first that is new to the character and the tagger knows."""
        chosen = []
        for options in alternatives:
            fitting = (tag for tag in options if tag not in shown)
            chosen.append(next((tag for tag in fitting if known is None or tag in known), ""))
        return tuple(tag for tag in chosen if tag)

    probes = [
        Probe(prompt_of([*start, framing, *clothes, *asks]), asks)
        for framing, alternatives in ASKS
        if (asks := choose(alternatives))
    ]
    if asks := choose((OTHER_CLOTHES, OTHER_BACKGROUNDS)):
        probes.append(Probe(prompt_of([*start, "cowboy shot", *asks]), asks))
    return tuple(probes)


def other_probes(class_token: str) -> tuple[Probe, ...]:
    """Prompts that do not call the character: another one, and nobody."""
    other = f"1{class_token}" if class_token in ("girl", "boy") else class_token
    return (
        Probe(f"{escape(other)}, solo, upper body, red hair, blue dress, grey background"),
        Probe("no humans, scenery, outdoors"),
    )


def count_obeyed(
    asks: Sequence[str], drawn: Sequence[TagProbabilities], base: Sequence[TagProbabilities]
) -> tuple[float, float]:
    """(asks that are obeyed with the LoRA, asks that the checkpoint alone obeys), over pictures.

    Only what the checkpoint alone obeys is asked of the LoRA; a tag that is seen with less
    certainty counts in part.

    drawn, base: tags of the pictures of one probe, with and without the LoRA, of the same seeds.
    """
    obeyed = 0.0
    possible = 0.0
    for with_lora, without in zip(drawn, base, strict=True):
        for tag in asks:
            if without.get(tag, 0.0) >= SEEN:
                possible += 1
                obeyed += min(1.0, with_lora.get(tag, 0.0) / SEEN)
    return obeyed, possible
