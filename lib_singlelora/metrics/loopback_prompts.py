"""What the judged loopback asks for: poses, views, expressions and places, each with a framing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, zip_longest

# What each kind asks for, and the framings in which all of it can be seen
ASKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pose": (
        ("arms up", "sitting", "waving", "hand on hip", "arms behind back", "crossed arms"),
        ("full body", "cowboy shot"),
    ),
    "view": (("from side", "from behind"), ("full body", "upper body", "cowboy shot")),
    "expression": (("closed eyes", "open mouth", "frown", "smile"), ("portrait", "upper body")),
    "background": (
        ("outdoors", "indoors", "blue background", "grey background", "green background"),
        ("full body", "upper body", "cowboy shot"),
    ),
}
# Shown whole by one framing alone
FRAMING_OF = {"sitting": "full body"}
# What each way of drawing can change of the original picture
KINDS = {
    "inpaint": ("pose", "background", "expression"),
    "img2img": ("pose", "view", "expression"),
    "txt2img": ("view", "pose", "expression", "background"),
}


@dataclass(frozen=True)
class Wish:
    """What one candidate is to show.

    source: how it is drawn: inpaint, img2img or txt2img.
    kind: pose, view, expression or background.
    ask: the tag that is new.
    framing: its framing's tag.
    background: the tag of its place; '' leaves it as it is.
    """

    source: str
    kind: str
    ask: str
    framing: str
    background: str = ""

    @property
    def asks(self) -> tuple[str, ...]:
        """All that the tagger is to see."""
        return tuple(dict.fromkeys(tag for tag in (self.ask, self.background) if tag))


def wishes(
    sources: Sequence[str], captions: Iterable[Sequence[str]], known: Collection[str] | None = None
) -> Iterator[Wish]:
    """What to draw, the sources in turn, without end; nothing where nothing new can be asked.

    captions: the tags of each crop; what they show is not asked for again.
    known: tags that the tagger can see; None asks for all of them.
    """
    shown = {tag for tags in captions for tag in tags}
    new = {
        kind: [tag for tag in tags if tag not in shown and (known is None or tag in known)]
        for kind, (tags, _) in ASKS.items()
    }
    lists = {source: _wishes_of(source, new) for source in sources}
    endless = [cycle(each) for each in lists.values() if each]
    while endless:
        for each in endless:
            yield next(each)


def _wishes_of(source: str, new: dict[str, list[str]]) -> list[Wish]:
    """Every wish of a source, its kinds in turn."""
    backgrounds = new["background"] or [""]
    by_kind = []
    for kind in KINDS[source]:
        framings = ASKS[kind][1]
        pairs = [
            (tag, FRAMING_OF.get(tag, framings[(index + turn) % len(framings)]))
            for turn in range(len(framings))
            for index, tag in enumerate(new[kind])
        ]
        by_kind.append(
            [
                Wish(
                    source,
                    kind,
                    tag,
                    framing,
                    # Redrawing a part leaves the rest as it is
                    tag
                    if kind == "background"
                    else ""
                    if source == "inpaint"
                    else ("", *backgrounds)[index % (len(backgrounds) + 1)],
                )
                for index, (tag, framing) in enumerate(dict.fromkeys(pairs))
            ]
        )
    return [wish for turn in zip_longest(*by_kind) for wish in turn if wish]
