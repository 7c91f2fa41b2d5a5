"""Reasons why a picture of the class does not belong into the regularization set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..captions.tag_categories import category_of, plain
from ..imaging.background import foreground_mask
from ..settings.regularization import FilterSettings
from .copying import colour_map, hash_similarity, perceptual_hash
from .similarity import colour_histogram, invalid_reason

LOOK_CATEGORIES = (
    *("species", "hair colour", "hair length", "hair style", "bangs", "eye colour"),
    *("skin", "body"),
)
CLOTHES_CATEGORIES = ("outfit", "accessory")
# Class tokens of which a tagger's count of persons is demanded
PEOPLE = frozenset("girl boy woman man person lady child kid human female male".split())
# Categories by which a character is told apart; the others weigh 1
WEIGHTS = {"hair colour": 2.0, "eye colour": 1.5, "species": 2.0}
# Tags in common below which nothing is proven: one garment alone, or blonde hair, is nobody's
LEAST_EVIDENCE = 2
WORKING_SIDE = 256  # pixels; pictures are looked at in this size
EDGE = 24  # difference of neighbouring grey values (0 to 255) that is an edge
_SEVERAL = re.compile(
    r"([2-9]|\d\d)\+?(girl|boy|other)s?|multiple (girls|boys|others)|everyone|crowd|group|people"
)
_SINGLE = re.compile(r"1(girl|boy|other)|solo( focus)?")


@dataclass(frozen=True)
class Subject:
    """What the character is recognized by.

    looks: tags of its looks that its crops show.
    clothes: tags of its clothes that its crops show.
    colours: a histogram of the foreground of each crop.
    """

    looks: frozenset[str] = frozenset()
    clothes: frozenset[str] = frozenset()
    colours: tuple[NDArray[np.float64], ...] = ()


@dataclass
class KeptPictures:
    """Fingerprints of the pictures that stay: (perceptual hash, colour map) by name."""

    hashes: dict[str, tuple[NDArray[np.bool_], NDArray[np.float32]]] = field(default_factory=dict)

    def nearest(self, image: Image.Image) -> tuple[str, float]:
        """(name, similarity 0 to 1) of the most similar picture; ('', 0) where there is none."""
        bits = perceptual_hash(image)
        colours = colour_map(image)
        # Both must agree: two figures in one pose have one hash, two scenes in one light one map of
        # colours.
        similarities = {
            name: min(hash_similarity(bits, other_bits), max(0.0, float(colours @ other_colours)))
            for name, (other_bits, other_colours) in self.hashes.items()
        }
        return max(similarities.items(), key=lambda item: item[1], default=("", 0.0))

    def add(self, name: str, image: Image.Image) -> None:
        """Remember a picture that stays."""
        self.hashes[name] = (perceptual_hash(image), colour_map(image))


def describe_subject(
    tags: Sequence[Sequence[str]],
    pictures: Iterable[Image.Image],
    masks: Iterable[Image.Image | None],
) -> Subject:
    """What the character is recognized by, from its crops.

    tags: of each crop.
    masks: L, of each crop; None where the foreground is to be found.
    """
    counts = Counter(plain(tag) for crop_tags in tags for tag in dict.fromkeys(crop_tags))
    least = 2 if len(tags) >= 4 else 1  # what one crop of many shows is the tagger's slip
    frequent = {tag for tag, count in counts.items() if count >= least}
    colours = tuple(
        foreground_histogram(image, mask) for image, mask in zip(pictures, masks, strict=True)
    )
    return Subject(
        frozenset(tag for tag in frequent if category_of(tag) in LOOK_CATEGORIES),
        frozenset(tag for tag in frequent if category_of(tag) in CLOTHES_CATEGORIES),
        colours,
    )


def rejection_reasons(
    image: Image.Image,
    tags: Sequence[str] | None,
    subject: Subject,
    others: KeptPictures,
    options: FilterSettings,
    class_token: str = "girl",
) -> list[str]:
    """Why the picture must go, one sentence each; none when it may stay.

    tags: those a tagger is confident of; None without a tagger, and reasons by tags are left out.
    others: the pictures that stay, of which it may be a duplicate.
    """
    if not options.filter:
        return []
    invalid = invalid_reason(image)
    if invalid:
        return [f"broken: {invalid}"]  # whatever else is found in it means nothing
    shared = colours_shared(image, subject)
    reasons = [] if tags is None else _people(tags, class_token)
    if tags is not None and (not subject.colours or shared >= options.colours_confirm):
        reasons += _resemblance(tags, subject, options.tags_in_common)
    if tags is not None and len(tags) > options.most_tags:
        reasons.append(f"too complex: {len(tags)} tags, at most {options.most_tags}")
    edges = edge_density(image)
    if edges > options.most_edges:
        reasons.append(
            f"too complex: {edges:.0%} of it are edges, at most {options.most_edges:.0%}"
        )
    if shared >= options.colours_in_common:
        reasons.append(
            f"resembles the character: {shared:.0%} of its colours are the character's, expected"
            f" less than {options.colours_in_common:.0%}"
        )
    name, similarity = others.nearest(image)
    if similarity >= options.duplicate_likeness:
        reasons.append(f"near-duplicate of {name} ({similarity:.0%} alike)")
    return reasons


def _people(tags: Sequence[str], class_token: str) -> list[str]:
    shown = [plain(tag) for tag in tags]
    single = [tag for tag in shown if re.fullmatch(r"1(girl|boy|other)", tag)]
    several = [tag for tag in shown if _SEVERAL.fullmatch(tag)]
    if not several and len(single) > 1:  # 1girl and 1boy are two
        several = single
    if several and "solo" not in shown:
        return [f"more than one person: {', '.join(several)}"]
    # A dragon is no person to a tagger, so only of people one is demanded.
    if class_token.lower().split()[-1] not in PEOPLE:
        return []
    if "no humans" in shown:
        return ["no person: no humans"]
    if not any(_SINGLE.fullmatch(tag) for tag in shown):
        return ["no person: none of the tags 1girl, 1boy, solo"]
    return []


def _resemblance(tags: Sequence[str], subject: Subject, limit: float) -> list[str]:
    reasons = []
    for kind, categories, of_character in (
        ("looks like the character", LOOK_CATEGORIES, subject.looks),
        ("wears the character's clothes", CLOTHES_CATEGORIES, subject.clothes),
    ):
        share, common = in_common(tags, categories, of_character)
        if share >= limit:
            reasons.append(
                f"resembles the character: {kind} ({', '.join(common)}; {share:.0%} of what it"
                f" shows, expected less than {limit:.0%})"
            )
    return reasons


def in_common(
    tags: Iterable[str], categories: Sequence[str], of_character: frozenset[str]
) -> tuple[float, list[str]]:
    """(share of a picture's tags of these categories that are the character's, these tags).

    The share is 0 where too little is in common to prove a resemblance.  It is one of what the
    picture shows, not of all that the character has: a close-up shows no boots.
    """
    shown = list(dict.fromkeys(plain(tag) for tag in tags if category_of(tag) in categories))
    common = [tag for tag in shown if tag in of_character]
    if len(common) < LEAST_EVIDENCE:
        return 0.0, common
    return _weight(common) / _weight(shown), common


def _weight(tags: Iterable[str]) -> float:
    return sum(WEIGHTS.get(category_of(tag), 1.0) for tag in tags)


def edge_density(image: Image.Image) -> float:
    """Share of the pixels, at WORKING_SIDE, that differ clearly from a neighbour.

    0.1 to 0.25 in drawings, near 1 in noise.
    """
    grey = np.asarray(image.convert("L").resize((WORKING_SIDE, WORKING_SIDE)), dtype=np.float32)
    steps = np.maximum(np.abs(np.diff(grey, axis=0))[:, :-1], np.abs(np.diff(grey, axis=1))[:-1])
    return float((steps > EDGE).mean())


def foreground_histogram(
    image: Image.Image, mask: Image.Image | None = None
) -> NDArray[np.float64]:
    """Shares of the colours of the figure.

    mask: L; where there is none, a flat background or GrabCut tells the figure.
    """
    small = image.convert("RGB")
    small.thumbnail((WORKING_SIDE, WORKING_SIDE))
    figure = mask or foreground_mask(small, estimate=False).mask
    histogram: NDArray[np.float64] = colour_histogram(small, figure)
    return histogram


def colours_shared(image: Image.Image, subject: Subject) -> float:
    """The largest share of the figure's colours in common with a crop of the character, 0 to 1."""
    if not subject.colours:
        return 0.0
    histogram = foreground_histogram(image)
    return max(float(np.minimum(histogram, crop).sum()) for crop in subject.colours)


def summarize_reasons(reasons: Mapping[str, Sequence[str]]) -> str:
    """How often each kind of reason was given, in words, the most frequent first.

    reasons: of each picture, by its name.
    """
    counts = Counter(
        reason.split(":")[0].split(" of ")[0] for given in reasons.values() for reason in given
    )
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
