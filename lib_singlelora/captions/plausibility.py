"""Tags that a crop cannot show, whatever a tagger says of it.

A tag is doubted when the part that it speaks of is not in the crop, or when the whole picture, of
which the crop is a part, shows the contrary.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .contradictions import BACKGROUND_COLOUR, GROUPS, PLACE, WHOLE_ONLY, Group, alternative_of
from .pruning import hidden
from .tag_categories import category_of, plain
from .visible_parts import BACKGROUND, HAIR, parts_of

SHOWN = 0.05  # share of a part from which a crop shows it
SHOWN_BACKGROUND = 0.02  # of a crop's area
WITNESS = 0.5  # share of a part from which a crop bears witness of it
SURE = 0.5  # probability from which a picture is sure of a tag
UNSURE = 0.3  # mean probability below which nobody says anything
AHEAD = 0.2  # by which a sure tag is ahead of its contrary
# A category of the part, for crops of which only the framing is known.
STANDS_FOR = {
    "head": "hair style",
    "face": "expression",
    "eyes": "eye colour",
    "mouth": "mouth",
    "torso": "chest",
}


@dataclass(frozen=True)
class Sight:
    """What taggers say of a picture, and what it can show.

    tags: those above the threshold.
    scores: probability of every tag that the taggers know.
    framing: tags of the crop's view.
    shows: share of each part of `crops/body.py` that it shows; {} where that is not known.
    whole: True for the whole picture, and a crop of all of the character.
    """

    tags: Sequence[str]
    scores: Mapping[str, float]
    framing: Sequence[str] = ()
    shows: Mapping[str, float] = field(default_factory=dict)
    whole: bool = False

    def share(self, part: str) -> float:
        """The share of the part that the picture shows; 1 where nothing tells that it does not."""
        if STANDS_FOR.get(part) in hidden(self.framing):
            return 0.0
        return self.shows.get(part, 1.0)

    def strength(self, group: Group, alternative: str) -> float:
        """The highest probability of an alternative's tags."""
        return max(
            (
                score
                for tag, score in self.scores.items()
                if alternative_of(group, tag) == alternative
            ),
            default=0.0,
        )


@dataclass(frozen=True)
class Doubt:
    """A tag that a crop cannot show, and the reason in words."""

    tag: str
    reason: str


@dataclass(frozen=True)
class _Verdict:
    """The alternatives of a group that the picture bears out, and in words what tells so."""

    borne_out: frozenset[str]
    reason: str


def find_doubts(
    sights: Mapping[str, Sight], background: Collection[str] | None = None
) -> dict[str, list[Doubt]]:
    """The doubted tags of each picture, in the order in which its taggers are sure of them.

    sights: of one picture and its crops.
    background: names that fit the one colour of the background; None where it is lively, or not
        known.
    """
    verdicts = {group: _verdict(group, sights) for group in GROUPS}
    if background is not None:
        verdicts |= _known_background(background)
    whole_tags = {plain(tag) for sight in sights.values() if sight.whole for tag in sight.tags}
    has_whole = any(sight.whole for sight in sights.values())
    doubts: dict[str, list[Doubt]] = {}
    for name, sight in sights.items():
        doubts[name] = []
        for tag in sight.tags:
            reason = _not_shown(tag, sight, whole_tags) or _contradicted(tag, verdicts)
            of_the_whole = has_whole and WHOLE_ONLY.fullmatch(plain(tag))
            if not reason and of_the_whole and plain(tag) not in whole_tags:
                reason = "the whole picture does not show it"
            if reason:
                doubts[name].append(Doubt(tag, reason))
    return doubts


def _not_shown(tag: str, sight: Sight, whole_tags: Collection[str]) -> str:
    """Why the crop cannot show the part that the tag speaks of; '' if it can."""
    parts = parts_of(tag)
    category = category_of(tag)
    if category in HAIR and plain(tag) in whole_tags:
        return ""
    for framing in sight.framing:
        if category in hidden((framing,)):
            return f"{framing} shows no {category}"
    least = SHOWN_BACKGROUND if BACKGROUND in parts else SHOWN
    if parts and all(sight.share(part) < least for part in parts):
        return f"this crop shows no {' or '.join(parts)}"
    return ""


def _contradicted(tag: str, verdicts: Mapping[Group, _Verdict | None]) -> str:
    """Why other tags speak against this one; '' if none do."""
    for group, verdict in verdicts.items():
        alternative = alternative_of(group, tag)
        if verdict is None or not alternative or alternative in verdict.borne_out:
            continue
        if group.name == "persons" and alternative == "one person":
            continue  # of several persons a crop may show one
        return verdict.reason
    return ""


def _verdict(group: Group, sights: Mapping[str, Sight]) -> _Verdict | None:
    """What the whole picture shows of the group, or if it is unsure all pictures that can show it.

    None where nobody says anything.
    """
    wholes = {name: sight for name, sight in sights.items() if sight.whole}
    if group.name == "persons" and _two_kinds(wholes.values()):
        return None
    if not group.small:
        verdict = _vote(group, wholes, SURE, AHEAD, "the whole picture shows")
        if verdict:
            return verdict
    enough = SHOWN_BACKGROUND if group.part == BACKGROUND else WITNESS
    able = {
        name: sight
        for name, sight in sights.items()
        if not group.part or sight.share(group.part) >= enough
    }
    return _vote(group, able, UNSURE, 0.0, "all crops together show")


def _vote(
    group: Group, sights: Mapping[str, Sight], least: float, ahead: float, who: str
) -> _Verdict | None:
    """What some pictures show of the group together; None where they are unsure.

    The root of the mean square: one certain picture counts more than several that hesitate.

    least: the probability that it needs.
    ahead: by which it must be ahead of the next.
    """
    said = {
        name: [sight.strength(group, name) for sight in sights.values()] or [0.0]
        for name in group.alternatives
    }
    strengths = {name: math.sqrt(_mean([p**2 for p in each])) for name, each in said.items()}
    first, second = sorted(strengths, key=lambda name: -strengths[name])[:2]
    if strengths[first] < least:
        return None
    reason = f"{who} {first} ({strengths[first]:.2f})"
    if not group.exclusive:
        borne_out = {name for name, each in said.items() if _mean(each) >= SURE}
        return _Verdict(frozenset((first, *borne_out)), reason)
    if strengths[first] - strengths[second] < ahead:
        return None
    return _Verdict(frozenset((first,)), reason)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _known_background(colours: Collection[str]) -> dict[Group, _Verdict | None]:
    """What pixels tell of a background of one colour.  colours: names that fit it."""
    names = " or ".join(sorted(colours))
    return {
        PLACE: _Verdict(frozenset(("a plain background",)), "the background has one colour"),
        BACKGROUND_COLOUR: _Verdict(
            frozenset(f"a {colour} background" for colour in colours), f"the background is {names}"
        ),
    }


def _two_kinds(wholes: Iterable[Sight]) -> bool:
    """True if the whole picture has, say, one girl and one boy: each count speaks of a kind."""
    kinds = {plain(tag) for sight in wholes for tag in sight.tags}
    return len(kinds & {"1girl", "1boy", "1other"}) > 1 and "solo" not in kinds
