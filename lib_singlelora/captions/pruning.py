"""Which tags a caption leaves out: what captions do not name, the trigger learns.

Categories that belong to the character are left out; of others only those tags on which the crops
that could show them agree.  Crops of one picture show the same, so that where they disagree the
tagger does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import SettingsError
from ..settings.captions import CaptionSettings
from ..settings.character import CharacterSettings
from .tag_categories import NAME, ORDER, category_of, plain

HEAD = frozenset(
    ("hair colour", "hair style", "bangs", "eye colour", "expression", "mouth", "gaze")
)
BELOW_THE_FACE = frozenset(("hair length", "chest"))
# The categories that a crop with this tag cannot show.
HIDDEN: Mapping[str, frozenset[str]] = {
    "head out of frame": HEAD,
    "lower body": HEAD | BELOW_THE_FACE,
    "close-up": BELOW_THE_FACE,
    "extreme close-up": BELOW_THE_FACE,
    "face focus": BELOW_THE_FACE,
    "portrait": frozenset(("chest",)),
    "from behind": frozenset(("eye colour", "bangs", "chest", "expression", "mouth")),
    "closed eyes": frozenset(("eye colour",)),
}
MAJORITY = 0.5  # of the crops that could show a tag; above it they agree
CLOTHES = ("outfit", "accessory")


@dataclass(frozen=True)
class Trait:
    """A tag that may belong to the character.

    seen: the number of crops that show it.
    visible: the number of crops that could show it.
    pictures: the number of pictures that those are, or were cut from; 0 where that is not known.
    """

    tag: str
    category: str
    seen: int
    visible: int
    pictures: int = 0

    @property
    def shared(self) -> bool:
        """True if most of the crops that could show it do, or one of a single picture's does."""
        if self.pictures == 1:
            return self.seen > 0
        return self.seen > MAJORITY * self.visible


@dataclass(frozen=True)
class Policy:
    """What captions leave out; build it with `policy_of`.

    prune: categories that are always left out.
    shared: categories of which the tags are left out that most crops share.
    keep, drop: tags or categories that are never, or always, left out; `keep` wins.
    names: tags that are known characters.
    """

    prune: frozenset[str]
    shared: frozenset[str]
    keep: frozenset[str]
    drop: frozenset[str]
    names: frozenset[str] = frozenset()

    def category(self, tag: str) -> str:
        """The tag's category; '' for an unknown tag."""
        return NAME if plain(tag) in self.names else category_of(tag)

    def keeps(self, tag: str) -> bool:
        """True if the user keeps the tag, whatever speaks against it."""
        return plain(tag) in self.keep or self.category(tag) in self.keep

    def prunes(self, tag: str, shared_tags: frozenset[str]) -> bool:
        """True if captions leave the tag out.

        shared_tags: the tags on which the crops agree.
        """
        plain_tag = plain(tag)
        category = self.category(tag)
        if self.keeps(tag):
            return False
        if plain_tag in self.drop or category in self.drop or category in self.prune:
            return True
        return category in self.shared and plain_tag in shared_tags


def policy_of(options: CaptionSettings, names: Iterable[str] = ()) -> Policy:
    """The policy that the settings describe.

    Raises: SettingsError, for an unknown category.
    """
    for key, categories in (("prune", options.prune), ("prune_shared", options.prune_shared)):
        for category in categories:
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


def outfit_trigger(options: CaptionSettings) -> str:
    """The word that stands for the clothes in captions; '' where captions name the clothes."""
    return options.outfit_trigger if options.outfit in ("prune", "both") else ""


def subject_of(character: CharacterSettings, options: CaptionSettings) -> tuple[str, ...]:
    """The words that call the character in a prompt: trigger, class, the outfit's trigger."""
    words = (character.trigger, character.class_token, outfit_trigger(options))
    return tuple(word for word in words if word)


def hidden(tags: Iterable[str]) -> frozenset[str]:
    """Categories that a crop with these tags cannot show."""
    return frozenset().union(*(HIDDEN.get(plain(tag), frozenset()) for tag in tags))


def find_traits(
    seen: Mapping[str, Sequence[str]], views: Mapping[str, Sequence[str]], policy: Policy
) -> list[Trait]:
    """The tags of every category that the policy may leave out, the most shared first.

    seen: crop -> the tagger's tags.
    views: crop -> the tags of its framing, for those that were cut from the source; of others,
        each a picture of its own, the tagger's tags stand in.
    """
    hidden_in = {
        name: (
            hidden(views.get(name) or tags)
            | hidden(tag for tag in tags if tag in ("closed eyes", "from behind"))
        )
        for name, tags in seen.items()
    }
    candidates = {plain(tag): policy.category(tag) for tags in seen.values() for tag in tags}
    traits = []
    for tag, category in candidates.items():
        if category in policy.prune | policy.shared:
            able = [name for name in seen if category not in hidden_in[name]]
            count = sum(tag in map(plain, seen[name]) for name in able)
            cut = [name for name in able if name in views]
            pictures = len(able) - len(cut) + bool(cut)
            traits.append(Trait(tag, category, count, len(able), pictures))
    return sorted(traits, key=lambda trait: (-trait.seen / max(1, trait.visible), trait.tag))


def prune(tags: Sequence[str], traits: Iterable[Trait], policy: Policy) -> list[str]:
    """The tags without those that the policy leaves to the trigger."""
    shared_tags = frozenset(trait.tag for trait in traits if trait.shared)
    return [tag for tag in tags if not policy.prunes(tag, shared_tags)]
