"""The character told from drawn scenery, region by region, without a model.

A region is called background where it reaches the picture's sides, where its colours go on in such
a region at the same height, or where no body can be, given the face.  What is left, and hangs
together with the face, is the character.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .body_place import (
    chest_shares,
    face_regions,
    face_width,
    is_profile,
    place_by_face,
    place_by_middle,
    rim_shares,
)
from .boxes import PixelBox, scale_box
from .figure_face import face_in_regions, shows_eyes
from .figure_pieces import ALIKE, one_figure
from .figure_regions import (
    Numbers,
    Regions,
    Values,
    background_distance,
    describe_regions,
    figure_distance,
    thickness,
)
from .segments import min_cut, noise_of, segment, to_lab

WORKING_SIDE = 384  # long side, pixels
NOISY = 0.5  # ΔE between neighbours; a noisier picture is smoothed before it is segmented
DOUBTFUL = 20.0  # ΔE from a background's colour: may be of it after all
CLEAR = 30.0  # ΔE from a background's colour: is surely not of it
CHEST = 0.12  # of the place below the chin: a region that takes more is neck or chest
SEED = 3.0  # how surely a region that reaches the sides is background
SIMILAR = 12.0  # ΔE from the character's colours; beyond it a region has another colour
STEP = 14.0  # ΔE across a border that is likely the character's outline
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Weights:
    """How much each cue counts.

    place: a body is expected there.
    colour: unlike the background's colours.
    zero: where, between `alike` and `unlike`, a colour tells nothing.
    like: like what is surely the character.
    edges: cost of a border without a step.
    breast: below the chin.
    wide: factor of a body's outer limits.
    away: factor where no body is expected.
    alike, unlike: ΔE from a background's colour, surely of it and surely not.
    reach: place up to which what touches a side is background.
    bulk: against large masses where a body is unlikely.
    bulk_place: place up to which `bulk` counts.
    afloat: against what hangs in the sky beside a head.
    hair: for what frames the face.
    """

    place: float = 1.2
    colour: float = 2.8
    zero: float = 0.6
    like: float = 0.8
    edges: float = 1.0
    breast: float = 1.0
    wide: float = 1.0
    away: float = 1.5
    alike: float = 5.0
    unlike: float = 24.0
    reach: float = 0.5
    bulk: float = 3.0
    bulk_place: float = 0.8
    afloat: float = 3.0
    hair: float = 1.0


# The mask is the surer, the more these agree with it.
VARIANTS = (Weights(place=0.7), Weights(place=1.8), Weights(colour=1.8), Weights(colour=4.0))


@dataclass(frozen=True)
class Cut:
    """A figure cut out of a reduced picture.

    mask: (h, w) of the reduced picture.
    scale: of the reduced picture by the picture's own size.
    face: in the reduced picture.
    regions: of the reduced picture.
    """

    mask: Mask
    scale: float
    face: PixelBox | None
    regions: Regions = field(repr=False)

    @cached_property
    def confidence(self) -> float:
        """0 to 1, how far other weights lead to the same mask.

        Calculated when it is asked for, for it takes longer than the mask.
        """
        others = [_cut(self.regions, self.face, weights) for weights in VARIANTS]
        agreement = float(np.mean([_iou(self.mask, other) for other in others]))
        return round(agreement * _plausibility(self.regions, self.mask, self.face), 3)


@dataclass(frozen=True)
class _Cues:
    """What speaks for each region before the cut, all of shape (n,).

    place: how likely a body is there.
    core: the region is the face.
    chest: its share of the place below the chin; 0 without a frontal face.
    seeds: the region is surely background.
    """

    place: Values
    core: Mask
    chest: Values
    seeds: Mask


def cut_figure(image: Image.Image, face: PixelBox | None = None) -> Cut | None:
    """The character's outline; None where nothing stands out.

    face: where a detector found it.
    """
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    small = image.convert("RGB").resize(size, Image.Resampling.BOX)
    lab = to_lab(np.asarray(small))
    if noise_of(lab) > NOISY:
        small = _median(small)
        lab = to_lab(np.asarray(small))
    regions = describe_regions(segment(lab, tolerance=1 + 1.5 * noise_of(lab)), lab)
    if face:
        face = scale_box(face, scale)
    else:
        face = face_in_regions(small, regions, _cut(regions, None, Weights()))
    mask = _cut(regions, face, Weights())
    if mask is None:
        return None
    return Cut(mask, scale, face, regions)


def _median(image: Image.Image) -> Image.Image:
    """Each pixel the median of 5 × 5, channel by channel."""
    try:
        import cv2
    except ImportError:
        return image.filter(ImageFilter.MedianFilter(5))
    return Image.fromarray(cv2.medianBlur(np.asarray(image), 5))  # the same in a fiftieth


def _plausibility(regions: Regions, mask: Mask, face: PixelBox | None) -> float:
    """How plausible the mask is, 0 to 1.

    It is less so the more of it has colours that the background has too, or the more of what stands
    out was left out.  Without a pair of eyes, and from the side, the body's place was guessed.
    """
    labels = regions.labels
    place = _place(labels.shape, face, Weights())
    cues = _cues(regions, face, place, Weights())
    seeds = cues.seeds
    if face and _stands(mask, face):
        seeds = seeds | _ground(regions, face, cues.chest)
    distance = background_distance(regions, np.flatnonzero(seeds))[labels]
    size = max(1, int(mask.sum()))
    alike = float(((distance < DOUBTFUL) & mask).sum()) / size
    left_out = float(((distance > CLEAR) & ~mask & (place > 0.2)).sum()) / size
    plausibility = (1 - 0.8 * max(0.0, alike - 0.1)) * max(0.5, 1 - 3 * left_out)
    if face is None or not shows_eyes(regions, face):
        plausibility *= 0.8
    return plausibility * (0.85 if face and is_profile(face) else 1.0)


def _iou(mask: Mask, other: Mask | None) -> float:
    """Intersection over union; 0 for no other mask."""
    if other is None:
        return 0.0
    return float((mask & other).sum() / max(1, (mask | other).sum()))


def _place(shape: tuple[int, ...], face: PixelBox | None, weights: Weights) -> Values:
    """How likely a body covers each pixel, (h, w)."""
    if face is None:
        return place_by_middle(shape)
    return place_by_face(shape, face, weights.wide, weights.away)


def _cues(regions: Regions, face: PixelBox | None, place: Values, weights: Weights) -> _Cues:
    """The cues of each region.  place: of each pixel, as `_place` gives it."""
    labels = regions.labels
    mean = np.bincount(labels.ravel(), place.ravel()) / regions.area
    core = face_regions(labels, face) if face else np.zeros(len(mean), dtype=bool)
    frontal = face is not None and not is_profile(face)
    chest = chest_shares(labels, face) if face and frontal else np.zeros(len(mean))
    seeds = _seeds(regions, mean, chest, weights)
    return _Cues(mean, core, chest, seeds)


def _cut(regions: Regions, face: PixelBox | None, weights: Weights) -> Mask | None:
    """The mask by these weights; None where nothing stands out."""
    cues = _cues(regions, face, _place(regions.labels.shape, face, weights), weights)
    seeds = cues.seeds & ~cues.core
    mask = _weighed(regions, face, weights, cues, seeds)
    if not face or mask is None:
        return mask
    ground = _ground(regions, face, cues.chest) & ~cues.core & ~seeds
    if not ground.any():
        return mask
    standing = _weighed(regions, face, weights, cues, seeds | ground)
    return standing if standing is not None and _stands(standing, face) else mask


def _weighed(
    regions: Regions, face: PixelBox | None, weights: Weights, cues: _Cues, seeds: Mask
) -> Mask | None:
    """The mask when the regions of `seeds` are surely background."""
    pairs = regions.pairs
    costs = weights.edges * pairs.length * np.exp(-pairs.step / STEP)
    distance = background_distance(regions, np.flatnonzero(seeds))
    gains = _gains(regions, face, weights, cues, distance)
    if face:
        gains[(rim_shares(regions.labels, face) > 0.3) & ~seeds] += weights.hair
        gains[_afloat(regions, face, seeds, _figure_regions(regions, face, cues))] -= weights.afloat
    gains[seeds] = -SEED
    chosen = min_cut(gains * np.sqrt(regions.area) * 2, pairs, costs)
    return one_figure(regions, chosen, seeds, cues.place, distance, face)


def _gains(
    regions: Regions, face: PixelBox | None, weights: Weights, cues: _Cues, distance: Values
) -> Values:
    """What calling each region the character gains, (n,).

    distance: ΔE from the nearest background.
    """
    gains = weights.place * cues.place + weights.colour * (
        _unlike(distance, weights) - weights.zero
    )
    chest = cues.chest > CHEST
    figure = _figure_regions(regions, face, cues) if face else np.flatnonzero(cues.core | chest)
    if len(figure):
        nearer = (distance - figure_distance(regions, figure)) / 15
        gains += weights.like * np.clip(nearer, 0, 1)
    gains[chest] += weights.breast
    if face:
        thick = thickness(regions) / face_width(face)
        gains -= (
            weights.bulk
            * np.clip((thick - 0.3) / 0.25, 0, 1)
            * np.clip(weights.bulk_place - cues.place, 0, 1)
        )
    gains[cues.core] = 2 * SEED
    return gains


def _figure_regions(regions: Regions, face: PixelBox, cues: _Cues) -> Numbers:
    """Regions that are surely the character: skin and clothes.

    Small ones such as eyes are left out, because their colours tell little, unless there are no
    others.
    """
    least = 0.05 * (face[2] - face[0]) * (face[3] - face[1])
    sure = cues.core | (cues.chest > CHEST)
    large = np.flatnonzero(sure & (regions.area > least))
    return large if len(large) else np.flatnonzero(sure)


def _afloat(regions: Regions, face: PixelBox, seeds: Mask, figure: Numbers) -> Mask:
    """What floats above the chin before a background, as clouds do, and not on a head as hair does.

    It hardly touches anything but backgrounds, or it lies to one side with nothing like it on the
    other, or it is far too wide.

    figure: what is surely the character; raised arms have its colours.
    """
    width = face_width(face)
    middle = (face[0] + face[2]) / 2
    pairs = regions.pairs
    count = len(regions.area)
    total = np.bincount(pairs.one, pairs.length, count) + np.bincount(
        pairs.other, pairs.length, count
    )
    beside_seeds = np.bincount(pairs.one, pairs.length * seeds[pairs.other], count)
    beside_seeds += np.bincount(pairs.other, pairs.length * seeds[pairs.one], count)
    free = beside_seeds / np.maximum(total, 1)
    high = (regions.rows[:, 1] <= face[3]) & (thickness(regions) > 0.15 * width)
    if len(figure):
        high &= figure_distance(regions, figure) > SIMILAR
    offset = (regions.columns.mean(axis=1) - middle) / width
    broad = (regions.columns[:, 1] - regions.columns[:, 0]) > 3.2 * width
    aside = np.abs(offset) > 0.45
    for region in np.flatnonzero(high & aside):
        mirrored = np.abs(offset + offset[region]) < 0.15
        sized = np.abs(np.log(regions.area / regions.area[region])) < 0.35
        level = np.abs(regions.rows[:, 0] - regions.rows[region, 0]) < 0.15 * width
        aside[region] = not (mirrored & sized & level).any()
    floating: Mask = high & ((free > 0.9) | ((free > 0.6) & aside) | ((free > 0.4) & broad))
    return floating


def _ground(regions: Regions, face: PixelBox, chest: Values) -> Mask:
    """What may be a path or a carpet: it reaches the lower edge and is wider than legs are."""
    ground: Mask = (regions.sides[:, 3] > 2 * face_width(face)) & (chest <= CHEST)
    return ground


def _stands(mask: Mask, face: PixelBox) -> bool:
    """True if the figure ends above the lower edge, so far below its chin that it is whole."""
    height = len(mask)
    bottom = int(np.flatnonzero(mask.any(axis=1))[-1]) + 1
    below_chin = bottom - face[3]
    usual = max(0.75 * (height - face[3]), 2.2 * face_width(face))
    return bottom < 0.985 * height and below_chin > usual


def _unlike(distance: Values, weights: Weights) -> Values:
    """0 for a background's colour, 1 for a colour that no background has."""
    unlike: Values = np.clip((distance - weights.alike) / (weights.unlike - weights.alike), 0, 1)
    return unlike


def _seeds(regions: Regions, place: Values, chest: Values, weights: Weights) -> Mask:
    """The regions that are surely background.

    They reach the left, upper or right side where no body is expected, or an upper corner, or both
    sides, themselves or through a region of their colours at the same height; or they lie far from
    any body.
    """
    height, width = regions.labels.shape
    left, top, right, _ = regions.sides.T
    reaches = (left > 0.015 * height) | (right > 0.015 * height) | (top > 0.015 * width)
    corner = (top > 0) & ((left > 0) | (right > 0))
    across = (left > 0) & (right > 0)
    body = (chest > CHEST) & ~corner & ~(across & (top > 0))
    sure: Mask = ((reaches & (place < weights.reach)) | (place < -0.9) | across | corner) & ~body
    sides = [
        np.flatnonzero((edge > 0.015 * height) & ~body & (place < 0.9)) for edge in (left, right)
    ]
    for near, opposite in (sides, sides[::-1]):
        if len(near) and len(opposite):
            sure[near] |= background_distance(regions, opposite)[near] < ALIKE
    return sure
