"""What is asked of a LoRA beside the sheet's own prompt: poses, views, places and clothes, and
prompts without her.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..captions.atlas import category_of
from ..captions.prompt_language import escape, prompt_of
from .retention import SEEN, Scores

# One prompt a row: a framing in which all of it can be seen, then what may be asked; of each place
# the first that no crop shows.
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
CLOTHES = ("blue dress", "red dress", "black dress", "green shirt")
PLACES = ("pink background", "green background")


@dataclass(frozen=True)
class Probe:
    """A prompt and what of it a tagger must see.  her: whether her trigger is in it."""

    prompt: str
    asks: tuple[str, ...]
    calls_character: bool = True


def character_probes(
    trigger: str,
    class_token: str,
    captions: Sequence[Sequence[str]],
    known: Collection[str] | None = None,
) -> tuple[Probe, ...]:
    """Prompts with the trigger that ask for what no crop shows.

    captions: the tags of each crop; her clothes among them go into the prompts, except where others
        are asked for.
    known: tags that the tagger can see; None asks for all of them.
    """
    shown = {tag for tags in captions for tag in tags}
    most = [
        tag
        for tag in dict.fromkeys(tag for tags in captions for tag in tags)
        if 2 * sum(tag in tags for tags in captions) > len(captions)
    ]
    count = [tag for tag in most if category_of(tag) == "count"] or ["solo"]
    clothes = [tag for tag in most if category_of(tag) in ("outfit", "accessory")]
    probes = []
    for framing, places in ASKS:
        found = [_first(options, shown, known) for options in places]
        asks = tuple(tag for tag in found if tag)
        if asks:
            probes.append(
                Probe(prompt_of([trigger, class_token, *count, framing, *clothes, *asks]), asks)
            )
    asks = tuple(
        tag for tag in (_first(CLOTHES, shown, known), _first(PLACES, shown, known)) if tag
    )
    if asks:
        probes.append(Probe(prompt_of([trigger, class_token, *count, "cowboy shot", *asks]), asks))
    return tuple(probes)


def _first(options: Sequence[str], shown: Collection[str], known: Collection[str] | None) -> str:
    return next(
        (tag for tag in options if tag not in shown and (known is None or tag in known)), ""
    )


def other_probes(class_token: str) -> tuple[Probe, ...]:
    """Prompts that do not call her: somebody else, and no one."""
    someone = f"1{class_token}" if class_token in ("girl", "boy") else class_token
    return (
        Probe(
            f"{escape(someone)}, solo, upper body, red hair, blue dress, grey background", (), False
        ),
        Probe("no humans, scenery, outdoors", (), False),
    )


def count_obeyed(
    asks: Sequence[str], drawn: Sequence[Scores], base: Sequence[Scores]
) -> tuple[float, float]:
    """(of the asks that the checkpoint alone obeys, how many are obeyed; how many those are),
    counted in pictures.

    drawn, base: the tagger's probabilities for each picture of one probe, with and without the
        LoRA, of the same seeds.
    """
    kept, could = 0.0, 0.0
    for with_it, without in zip(drawn, base, strict=True):
        for tag in asks:
            if without.get(tag, 0.0) >= SEEN:
                could += 1
                kept += min(1.0, with_it.get(tag, 0.0) / SEEN)
    return kept, could
