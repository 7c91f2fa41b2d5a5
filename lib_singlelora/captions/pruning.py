"""Which tags a caption leaves out: what is not said beside the pictures, the trigger learns.

Categories that are hers are left out; of others only those tags on which the crops that could show
them agree.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import SettingsError
from ..settings.captions import CaptionSettings
from .atlas import NAME, ORDER, category_of, plain

HEAD = frozenset(
    ("hair colour", "hair style", "bangs", "eye colour", "expression", "mouth", "gaze")
)
LOW = frozenset(("hair length", "chest"))
# What cannot be seen in a crop with this tag.
HIDDEN: Mapping[str, frozenset[str]] = {
    "head out of frame": HEAD,
    "lower body": HEAD | LOW,
    "close-up": LOW,
    "extreme close-up": LOW,
    "face focus": LOW,
    "portrait": frozenset(("chest",)),
    "from behind": frozenset(("eye colour", "bangs", "chest", "expression", "mouth")),
    "closed eyes": frozenset(("eye colour",)),
}
MOST = 0.5
CLOTHES = ("outfit", "accessory")


@dataclass(frozen=True)
class Trait:
    """A tag of a category that may be hers.

    seen: in how many of the crops that could show it (`visible`).
    """

    tag: str
    category: str
    seen: int
    visible: int

    @property
    def shared(self) -> bool:
        """Whether most of the crops agree."""
        return self.seen > MOST * self.visible


@dataclass(frozen=True)
class Policy:
    """What is left out.  names: tags that are known characters.  Build it with `policy_of`."""

    prune: frozenset[str]
    shared: frozenset[str]
    keep: frozenset[str]
    drop: frozenset[str]
    names: frozenset[str] = frozenset()

    def category(self, tag: str) -> str:
        """What the tag speaks of; '' where nothing tells."""
        return NAME if plain(tag) in self.names else category_of(tag)

    def prunes(self, tag: str, hers: frozenset[str]) -> bool:
        """Whether captions leave the tag out.  hers: the tags on which the crops agree."""
        own, category = plain(tag), self.category(tag)
        if own in self.keep or category in self.keep:
            return False
        if own in self.drop or category in self.drop or category in self.prune:
            return True
        return category in self.shared and own in hers


def policy_of(options: CaptionSettings, names: Iterable[str] = ()) -> Policy:
    """The policy that the settings describe.

    Raises: SettingsError, for a category that there is not.
    """
    for key, wanted in (("prune", options.prune), ("prune_shared", options.prune_shared)):
        for category in wanted:
            if category not in ORDER:
                near = difflib.get_close_matches(category, ORDER, n=1, cutoff=0.0)
                raise SettingsError(
                    f"caption.{key}: found '{category}', expected some of {', '.join(ORDER)}; did"
                    f" you mean '{near[0]}'?"
                )
    clothes = CLOTHES if options.outfit == "prune" else ()
    return Policy(
        frozenset((*options.prune, *clothes)),
        frozenset(options.prune_shared),
        frozenset(map(plain, options.keep)),
        frozenset(map(plain, options.drop)),
        frozenset(map(plain, names)),
    )


def hidden(tags: Iterable[str]) -> frozenset[str]:
    """Categories that a crop with these tags cannot show."""
    return frozenset().union(*(HIDDEN.get(plain(tag), frozenset()) for tag in tags))


def find_traits(
    seen: Mapping[str, Sequence[str]], views: Mapping[str, Sequence[str]], policy: Policy
) -> list[Trait]:
    """What the crops tell of her: the tags of every category that the policy may leave out, the
    most shared first.

    seen: the tagger's tags by crop.
    views: the tags of its framing, by crop; where there are none, the tagger's count.
    """
    unseen = {
        name: (
            hidden(views.get(name) or tags)
            | hidden(tag for tag in tags if tag in ("closed eyes", "from behind"))
        )
        for name, tags in seen.items()
    }
    candidates = {plain(tag): policy.category(tag) for tags in seen.values() for tag in tags}
    found = []
    for tag, category in candidates.items():
        if category in policy.prune | policy.shared:
            able = [name for name in seen if category not in unseen[name]]
            count = sum(tag in map(plain, seen[name]) for name in able)
            found.append(Trait(tag, category, count, len(able)))
    return sorted(found, key=lambda trait: (-trait.seen / max(1, trait.visible), trait.tag))


def prune(tags: Sequence[str], traits: Iterable[Trait], policy: Policy) -> list[str]:
    """The tags without those that are hers."""
    hers = frozenset(trait.tag for trait in traits if trait.shared)
    return [tag for tag in tags if not policy.prunes(tag, hers)]
