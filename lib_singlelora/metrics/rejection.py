"""Why a picture of the class does not belong into the regularization set: what it shows, how it
looks, whom it resembles.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..captions.atlas import category_of, plain
from ..imaging.background import foreground_mask
from ..settings.regularization import FilterSettings
from .copying import colour_map, hash_similarity, perceptual_hash
from .similarity import colour_histogram, invalid_reason

LOOKS = (
    "species",
    "hair colour",
    "hair length",
    "hair style",
    "bangs",
    "eye colour",
    "skin",
    "body",
)
CLOTHES = ("outfit", "accessory")
PEOPLE = (
    "girl",
    "boy",
    "woman",
    "man",
    "person",
    "lady",
    "child",
    "kid",
    "human",
    "female",
    "male",
)
# What one tells people apart by; others count 1
WEIGHTS = {"hair colour": 2.0, "eye colour": 1.5, "species": 2.0}
# Tags in common below which nothing is proven: one garment alone, or blonde hair, is nobody's
EVIDENCE = 2
# Pixels; difference of neighbouring grey values (0 to 255) that is an edge
WORKING_SIDE, EDGE = 256, 24
_SEVERAL = re.compile(
    r"([2-9]|\d\d)\+?(girl|boy|other)s?|multiple (girls|boys|others)|everyone|crowd|group|people"
)
_ONE = re.compile(r"1(girl|boy|other)|solo( focus)?")


@dataclass(frozen=True)
class Subject:
    """What she is known by.

    looks, clothes: tags that her crops show.
    colours: a histogram of the foreground of each crop.
    """

    looks: frozenset[str] = frozenset()
    clothes: frozenset[str] = frozenset()
    colours: tuple[NDArray[np.float64], ...] = ()


@dataclass
class KeptPictures:
    """Fingerprints of the pictures that stayed, by name."""

    hashes: dict[str, tuple[NDArray[np.bool_], NDArray[np.float32]]] = field(default_factory=dict)

    def nearest(self, image: Image.Image) -> tuple[str, float]:
        """(name, likeness 0 to 1) of the picture that is most like this one; ('', 0) where there is
        none.
        """
        bits, colours = perceptual_hash(image), colour_map(image)
        # Both must agree: two figures in one pose have one hash, two scenes in one light one map of
        # colours.
        found = {
            name: min(hash_similarity(bits, own), max(0.0, float(colours @ other)))
            for name, (own, other) in self.hashes.items()
        }
        return max(found.items(), key=lambda item: item[1], default=("", 0.0))

    def add(self, name: str, image: Image.Image) -> None:
        """Remember a picture that stays."""
        self.hashes[name] = perceptual_hash(image), colour_map(image)


def describe_subject(
    tags: Sequence[Sequence[str]],
    pictures: Iterable[Image.Image],
    masks: Iterable[Image.Image | None],
) -> Subject:
    """What she is known by, from her crops.

    tags: of each crop; masks: L of each, None where it is to be found.
    """
    counts = Counter(plain(tag) for own in tags for tag in dict.fromkeys(own))
    least = 2 if len(tags) >= 4 else 1  # what one crop of many shows is the tagger's slip
    hers = {tag for tag, count in counts.items() if count >= least}
    colours = tuple(
        foreground_histogram(image, mask) for image, mask in zip(pictures, masks, strict=True)
    )
    return Subject(
        frozenset(tag for tag in hers if category_of(tag) in LOOKS),
        frozenset(tag for tag in hers if category_of(tag) in CLOTHES),
        colours,
    )


def rejection_reasons(
    image: Image.Image,
    tags: Sequence[str] | None,
    subject: Subject,
    seen: KeptPictures,
    options: FilterSettings,
    class_token: str = "girl",
) -> list[str]:
    """Why the picture must go, one sentence each; none when it may stay.

    tags: what a tagger is confident of; None where nobody looked, and what tags tell is left out.
    """
    if not options.filter:
        return []
    harm = invalid_reason(image)
    if harm:
        return [f"broken: {harm}"]  # whatever else is found in it means nothing
    shared = colours_shared(image, subject)
    found = [] if tags is None else _people(tags, class_token)
    if tags is not None and (not subject.colours or shared >= options.colours_confirm):
        found += _resembling(tags, subject, options.tags_in_common)
    if tags is not None and len(tags) > options.most_tags:
        found.append(f"too complex: {len(tags)} tags, at most {options.most_tags}")
    edges = edge_density(image)
    if edges > options.most_edges:
        found.append(f"too complex: {edges:.0%} of it are edges, at most {options.most_edges:.0%}")
    if shared >= options.colours_in_common:
        found.append(
            f"resembles her: {shared:.0%} of its colours are hers, below"
            f" {options.colours_in_common:.0%} wanted"
        )
    name, likeness = seen.nearest(image)
    if likeness >= options.duplicate_likeness:
        found.append(f"near-duplicate of {name} ({likeness:.0%} alike)")
    return found


def _people(tags: Sequence[str], class_token: str) -> list[str]:
    own = [plain(tag) for tag in tags]
    ones = [tag for tag in own if re.fullmatch(r"1(girl|boy|other)", tag)]
    several = [tag for tag in own if _SEVERAL.fullmatch(tag)] or (ones if len(ones) > 1 else [])
    if several and "solo" not in own:
        return [f"more than one person: {', '.join(several)}"]
    # A dragon is no person to a tagger, so only of people one is demanded.
    if class_token.lower().split()[-1] in PEOPLE and (
        "no humans" in own or not any(_ONE.fullmatch(tag) for tag in own)
    ):
        return [
            "no person: "
            + ("no humans" if "no humans" in own else "none of the tags 1girl, 1boy, solo")
        ]
    return []


def _resembling(tags: Sequence[str], subject: Subject, limit: float) -> list[str]:
    found = []
    for what, categories, hers in (
        ("looks like her", LOOKS, subject.looks),
        ("wears her clothes", CLOTHES, subject.clothes),
    ):
        share, common = in_common(tags, categories, hers)
        if share >= limit:
            found.append(
                f"resembles her: {what} ({', '.join(common)}; {share:.0%} of what it shows, below"
                f" {limit:.0%} wanted)"
            )
    return found


def in_common(
    tags: Iterable[str], categories: Sequence[str], hers: frozenset[str]
) -> tuple[float, list[str]]:
    """(share of what a picture shows of these categories that is hers, the tags); 0 where too
    little is in common to prove it.

    Asked of what the picture shows, not of all that is hers: a close-up shows no boots.
    """
    shown = list(dict.fromkeys(plain(tag) for tag in tags if category_of(tag) in categories))
    common = [tag for tag in shown if tag in hers]
    return (_weight(common) / _weight(shown), common) if len(common) >= EVIDENCE else (0.0, common)


def _weight(tags: Iterable[str]) -> float:
    return sum(WEIGHTS.get(category_of(tag), 1.0) for tag in tags)


def edge_density(image: Image.Image) -> float:
    """Share of the pixels, at WORKING_SIDE, that differ clearly from a neighbour: 0.1 to 0.25 in
    drawings, near 1 in noise.
    """
    grey = np.asarray(image.convert("L").resize((WORKING_SIDE, WORKING_SIDE)), dtype=np.float32)
    steps = np.maximum(np.abs(np.diff(grey, axis=0))[:, :-1], np.abs(np.diff(grey, axis=1))[:-1])
    return float((steps > EDGE).mean())


def foreground_histogram(
    image: Image.Image, mask: Image.Image | None = None
) -> NDArray[np.float64]:
    """Shares of the colours of the figure; it is found by its flat background or GrabCut where no
    mask (L) is given.
    """
    small = image.convert("RGB")
    small.thumbnail((WORKING_SIDE, WORKING_SIDE))
    found: NDArray[np.float64] = colour_histogram(small, mask or foreground_mask(small).mask)
    return found


def colours_shared(image: Image.Image, subject: Subject) -> float:
    """The largest share of the figure's colours that it has in common with one of her crops, 0 to
    1.
    """
    if not subject.colours:
        return 0.0
    own = foreground_histogram(image)
    return max(float(np.minimum(own, hers).sum()) for hers in subject.colours)


def summarize_reasons(found: Mapping[str, Sequence[str]]) -> str:
    """How often each kind of reason was given, in words, the most frequent first."""
    counts = Counter(
        reason.split(":")[0].split(" of ")[0] for reasons in found.values() for reason in reasons
    )
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
