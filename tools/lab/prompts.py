"""The prompts that every LoRA of an experiment is asked, the same for all recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_singlelora.captions.tag_categories import category_of

from .subjects import Subject

PLAIN = "white background, simple background"


@dataclass(frozen=True)
class Ask:
    """A prompt with the trigger.

    pose, view, framing: as the renderer calls them.
    extra: further tags of the prompt.
    asks: tags of it that a tagger must see.
    same_clothes: False where the prompt asks for others.
    seeds: how many pictures.
    """

    pose: str
    view: str
    framing: str
    extra: tuple[str, ...]
    asks: tuple[str, ...]
    same_clothes: bool = True
    seeds: int = 2

    @property
    def plain(self) -> bool:
        """True for the character as the picture shows it."""
        return not self.asks

    def prompt(self, subject: Subject, clothes: Sequence[str]) -> str:
        """clothes: the tags by which the captions call the character's clothes."""
        view = {"front": "looking at viewer", "side": "from side", "behind": "from behind"}
        # A closed eye looks nowhere
        gaze = () if "closed eyes" in self.extra else (view[self.view],)
        pose = () if self.framing in ("portrait", "upper body") else (self.pose,)
        return ", ".join(
            (
                subject.name,
                "girl",
                "1girl",
                "solo",
                self.framing,
                *pose,
                *gaze,
                *(clothes if self.same_clothes else ()),
                *self.extra,
            )
        )


def asks_of(subject: Subject) -> tuple[Ask, ...]:
    """As in the picture first, then in other poses, views, framings, places and clothes."""
    other = subject.other_clothes
    return (
        Ask("standing", "front", "full body", (PLAIN,), (), seeds=4),
        Ask("standing", "front", "upper body", (PLAIN,), (), seeds=2),
        Ask(
            "arms up", "front", "cowboy shot", ("outdoors",), ("cowboy shot", "arms up", "outdoors")
        ),
        Ask(
            "standing",
            "side",
            "upper body",
            ("blue background",),
            ("upper body", "from side", "blue background"),
        ),
        Ask(
            "sitting",
            "front",
            "full body",
            ("grey background",),
            ("full body", "sitting", "grey background"),
        ),
        Ask(
            "standing",
            "behind",
            "cowboy shot",
            ("pink background",),
            ("cowboy shot", "from behind", "pink background"),
        ),
        Ask(
            "standing",
            "front",
            "portrait",
            ("closed eyes", "open mouth", "green background"),
            ("portrait", "closed eyes", "open mouth", "green background"),
        ),
        Ask("standing", "front", "cowboy shot", (other, "indoors"), (other, "indoors"), False),
    )


# Without the trigger: another girl, two others, nobody
OTHERS = (
    "1girl, solo, upper body, red hair, blue dress, grey background",
    "1girl, solo, full body, standing, black hair, white shirt, red skirt",
    "1girl, solo, portrait, blue hair, green eyes, smile, white background",
    "no humans, outdoors, scenery",
)


def clothes_in(captions: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Tags of clothes that more than half of the captions keep."""
    return tuple(
        tag
        for tag in dict.fromkeys(tag for tags in captions for tag in tags)
        if category_of(tag) in ("outfit", "accessory")
        and 2 * sum(tag in tags for tags in captions) > len(captions)
    )
