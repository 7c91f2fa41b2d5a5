"""The character told from drawn scenery, region by region, without a model.

A region is called background where it reaches the picture's sides, where its colours go on in such
a region at the same height, or where no body can be, seen from the face.  What is left, and hangs
together with the face, is the character.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .components import label_regions
from .drawn_face import Spots, faces_with_eyes, has_eyes, spots
from .face_by_colour import Box, find_face
from .segments import Array, Borders, Labels, borders, min_cut, noise_of, segment, to_lab

SIDE = 384  # long side that is worked on, pixels
NOISY = 0.5  # ΔE between neighbours from which on a picture is smoothed before it is parted
ALIKE, UNLIKE = 5.0, 24.0  # ΔE from a background's colour: surely of it, surely not
REACH = 0.06  # of the height: so far above and below a background is expected to go on
DOUBTFUL, CLEAR = 20.0, 30.0  # ΔE from a background's colour: may be of it after all, is not
BODY = 0.12  # of the place below the chin: what takes more is neck or breast
GAP = 2  # pixels that may lie between parts of one figure
SEED = 3.0  # how surely what reaches the sides is background
SIMILAR = 12.0  # ΔE from the character's colours: what is more has another one
STEP = 14.0  # ΔE across a border that is likely the character's edge
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """How much each thing counts.

    place: where a body is.
    colour: unlike the background's.
    like: like what is surely the character.
    afloat: against what hangs in the sky beside a head.
    hair: for what frames the face.
    zero: where between ALIKE and UNLIKE a colour tells nothing.
    edges: the cost of a border without a step.
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


VARIANTS = (Weights(place=0.7), Weights(place=1.8), Weights(colour=1.8), Weights(colour=4.0))


@dataclass(frozen=True)
class Cut:
    """mask: (h, w) of the reduced picture.  scale: of it by the picture's pixels.  face: in reduced
    pixels.

    confidence: 0 to 1, how far other weights would have led to the same mask.
    """

    mask: Mask
    scale: float
    face: Box | None
    confidence: float


@dataclass(frozen=True)
class Regions:
    """What is known of each region.  rows, columns: first and one past the last.

    profile: (n, h, 3), mean colour in each row, NaN elsewhere.
    sides: pixels on the left, upper, right and lower border, (n, 4).
    """

    labels: Labels
    area: Values
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    profile: Array
    sides: Values
    pairs: Borders
    spots: Spots


def cut_figure(image: Image.Image, face: Box | None = None) -> Cut | None:
    """The character's outline; None where nothing stands out.

    face: where a detector saw it, pixels of the picture.
    """
    scale = min(1.0, SIDE / max(image.size))
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    small = image.convert("RGB").resize(size, Image.Resampling.BOX)
    lab = to_lab(np.asarray(small))
    if noise_of(lab) > NOISY:
        small = small.filter(ImageFilter.MedianFilter(5))
        lab = to_lab(np.asarray(small))
    regions = _describe(segment(lab, tolerance=1 + 1.5 * noise_of(lab)), lab)
    seen = _scaled(face, scale) if face else _face(small, regions, _cut(regions, None, Weights()))
    mask = _cut(regions, seen, Weights())
    if mask is None:
        return None
    others = [_cut(regions, seen, weights) for weights in VARIANTS]
    agreement = float(np.mean([_iou(mask, other) for other in others]))
    return Cut(mask, scale, seen, round(agreement * _plausible(regions, mask, seen), 3))


def _plausible(regions: Regions, mask: Mask, face: Box | None) -> float:
    """0 to 1, the less the more of the mask has colours that the background has too, or of what
    stands out was left out.

    Without a pair of eyes, and from the side, where the body is was guessed.
    """
    labels, weights = regions.labels, Weights()
    place = _place_by_face(labels.shape, face, weights) if face else _place_by_middle(labels.shape)
    mean = np.bincount(labels.ravel(), place.ravel()) / regions.area
    breast = _below_the_chin(labels, face) if face and not _sideways(face) else np.zeros(len(mean))
    seeds = _seeds(regions, mean, breast, weights)
    if face and _stands(mask, face):
        seeds |= _ground(regions, face, breast)
    far = _distance(regions, np.flatnonzero(seeds))[labels]
    size = max(1, int(mask.sum()))
    alike = float(((far < DOUBTFUL) & mask).sum()) / size
    left_out = float(((far > CLEAR) & ~mask & (place > 0.2)).sum()) / size
    found = (1 - 0.8 * max(0.0, alike - 0.1)) * max(0.5, 1 - 3 * left_out)
    if face is None or not has_eyes(face, regions.spots, _skin(regions, face)):
        found *= 0.8
    return found * (0.85 if face and _sideways(face) else 1.0)


def _scaled(face: Box, scale: float) -> Box:
    return (
        round(face[0] * scale),
        round(face[1] * scale),
        round(face[2] * scale),
        round(face[3] * scale),
    )


def _face(small: Image.Image, regions: Regions, outline: Mask | None) -> Box | None:
    """The face: by skin and eyes, within what stands out by itself or anywhere; else by eyes; else
    by skin alone.
    """
    whole = Image.new("L", small.size, 255)
    looked = [whole]
    if outline is not None and not 0.01 < outline.mean() < 0.9:
        outline = None
    if outline is not None:
        looked.insert(0, Image.fromarray(np.where(outline, 255, 0).astype(np.uint8)))
    by_skin = [face for within in looked if (face := find_face(small, within)) is not None]
    seen = [face for face in by_skin if has_eyes(face, regions.spots, _skin(regions, face))]
    if seen:
        return seen[0]
    by_eyes = faces_with_eyes(regions.labels, regions.spots)
    if outline is not None:
        by_eyes = [
            face for face in by_eyes if outline[face[1] : face[3], face[0] : face[2]].mean() > 0.5
        ] or by_eyes
    pale = [face for face in by_eyes if _may_be_skin(_skin(regions, face))]
    found = pale or by_skin or by_eyes
    return found[0] if found else None


def _may_be_skin(lab: Values) -> bool:
    """Whether a colour (L*a*b*) may be anybody's skin, from pale to dark: between red and yellow,
    and no strong colour.
    """
    light, red, yellow = (float(value) for value in lab)
    return 20 < light < 97 and 1 < red < 30 and 3 < yellow < 45


def _skin(regions: Regions, face: Box) -> Values:
    """The colour that most of a box has."""
    inside = regions.labels[face[1] : face[3], face[0] : face[2]]
    found: Values = regions.spots.colour[int(np.bincount(inside.ravel()).argmax())]
    return found


def _iou(one: Mask, other: Mask | None) -> float:
    return 0.0 if other is None else float((one & other).sum() / max(1, (one | other).sum()))


def _describe(labels: Labels, lab: Array) -> Regions:
    count, (height, width) = int(labels.max()) + 1, labels.shape
    area = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    at = labels.astype(np.int64) * height + np.arange(height)[:, None]
    each = np.bincount(at.ravel(), minlength=count * height).reshape(count, height)
    sums = [
        np.bincount(at.ravel(), lab[..., channel].ravel(), count * height).reshape(count, height)
        for channel in range(3)
    ]
    with np.errstate(invalid="ignore"):
        profile = np.stack(
            [total / np.where(each, each, np.nan) for total in sums], axis=-1
        ).astype(np.float32)
    filled = each > 0
    rows = np.stack([filled.argmax(axis=1), height - filled[:, ::-1].argmax(axis=1)], axis=1)
    turned = np.bincount(
        (labels.astype(np.int64) * width + np.arange(width)).ravel(), minlength=count * width
    )
    there = turned.reshape(count, width) > 0
    columns = np.stack([there.argmax(axis=1), width - there[:, ::-1].argmax(axis=1)], axis=1)
    edges = (labels[:, 0], labels[0], labels[:, -1], labels[-1])
    sides = np.stack([np.bincount(edge, minlength=count) for edge in edges], axis=1).astype(
        np.float64
    )
    return Regions(
        labels, area, rows, columns, profile, sides, borders(labels, lab), spots(labels, lab)
    )


def _cut(regions: Regions, face: Box | None, weights: Weights) -> Mask | None:
    """The mask by these weights."""
    labels = regions.labels
    place = _place_by_face(labels.shape, face, weights) if face else _place_by_middle(labels.shape)
    mean = np.bincount(labels.ravel(), place.ravel()) / regions.area
    core = _core(labels, face) if face else np.zeros(len(mean), dtype=bool)
    breast = _below_the_chin(labels, face) if face and not _sideways(face) else np.zeros(len(mean))
    seeds = _seeds(regions, mean, breast, weights) & ~core
    mask = _weighed(regions, face, weights, mean, core, breast, seeds)
    if not face or mask is None:
        return mask
    ground = _ground(regions, face, breast) & ~core & ~seeds
    if not ground.any():
        return mask
    standing = _weighed(regions, face, weights, mean, core, breast, seeds | ground)
    return standing if standing is not None and _stands(standing, face) else mask


def _weighed(
    regions: Regions,
    face: Box | None,
    weights: Weights,
    mean: Values,
    core: Mask,
    breast: Values,
    seeds: Mask,
) -> Mask | None:
    """The mask when these regions are background for sure.

    mean: how much each lies where a body is.
    """
    pairs = regions.pairs
    costs = weights.edges * pairs.length * np.exp(-pairs.step / STEP)
    far = _distance(regions, np.flatnonzero(seeds))
    gains = _gains(regions, face, mean, far, core, breast, weights)
    if face:
        gains[(_around(regions.labels, face) > 0.3) & ~seeds] += weights.hair
        gains[_afloat(regions, face, seeds, _known(regions, face, core, breast))] -= weights.afloat
    gains[seeds] = -SEED
    chosen = min_cut(gains * np.sqrt(regions.area) * 2, pairs, costs)
    return _one_figure(regions, chosen, seeds, mean, far, face)


def _gains(
    regions: Regions,
    face: Box | None,
    mean: Values,
    far: Values,
    core: Mask,
    breast: Values,
    weights: Weights,
) -> Values:
    """What each region gives to be called the character."""
    gains = weights.place * mean + weights.colour * (_unlike(far, weights) - weights.zero)
    body = breast > BODY
    own = _known(regions, face, core, breast) if face else np.flatnonzero(core | body)
    if len(own):
        gains += weights.like * np.clip((far - _likeness(regions, own)) / 15, 0, 1)
    gains[body] += weights.breast
    if face:
        thick = _thickness(regions) / _wide(face)
        gains -= (
            weights.bulk
            * np.clip((thick - 0.3) / 0.25, 0, 1)
            * np.clip(weights.bulk_place - mean, 0, 1)
        )
    gains[core] = 2 * SEED
    return gains


def _known(regions: Regions, face: Box, core: Mask, breast: Values) -> NDArray[np.int64]:
    """What is surely the character and large enough that its colour tells something: skin and
    clothes, no eyes.
    """
    least = 0.05 * (face[2] - face[0]) * (face[3] - face[1])
    known = np.flatnonzero((core | (breast > BODY)) & (regions.area > least))
    return known if len(known) else np.flatnonzero(core | (breast > BODY))


def _wide(face: Box) -> float:
    """A face's width, pixels; from the side it is narrow, and its height tells more."""
    return max(face[2] - face[0], 0.8 * (face[3] - face[1]), 4.0)


def _afloat(regions: Regions, face: Box, seeds: Mask, own: NDArray[np.int64]) -> Mask:
    """What lies above the chin before a background, as clouds do, and not on a head as hair and
    hats do.

    It hardly touches anything but backgrounds, or it lies to one side with nothing like it on the
    other, or is far too wide.
    own: what is surely the character; raised arms have its colours.
    """
    wide, middle = _wide(face), (face[0] + face[2]) / 2
    pairs, count = regions.pairs, len(regions.area)
    total = np.bincount(pairs.one, pairs.length, count) + np.bincount(
        pairs.other, pairs.length, count
    )
    beside = np.bincount(pairs.one, pairs.length * seeds[pairs.other], count)
    beside += np.bincount(pairs.other, pairs.length * seeds[pairs.one], count)
    free = beside / np.maximum(total, 1)
    high = (regions.rows[:, 1] <= face[3]) & (_thickness(regions) > 0.15 * wide)
    if len(own):
        high &= _likeness(regions, own) > SIMILAR
    off = (regions.columns.mean(axis=1) - middle) / wide
    broad = (regions.columns[:, 1] - regions.columns[:, 0]) > 3.2 * wide
    aside = np.abs(off) > 0.45
    for one in np.flatnonzero(high & aside):
        twins = (np.abs(off + off[one]) < 0.15) & (
            np.abs(np.log(regions.area / regions.area[one])) < 0.35
        )
        aside[one] = not (
            twins & (np.abs(regions.rows[:, 0] - regions.rows[one, 0]) < 0.15 * wide)
        ).any()
    found: Mask = high & ((free > 0.9) | ((free > 0.6) & aside) | ((free > 0.4) & broad))
    return found


def _ground(regions: Regions, face: Box, breast: Values) -> Mask:
    """What may be a path or a carpet under the feet: it reaches the lower edge and is wider there
    than legs are.
    """
    found: Mask = (regions.sides[:, 3] > 2 * _wide(face)) & (breast <= BODY)
    return found


def _stands(mask: Mask, face: Box) -> bool:
    """Whether a figure ends above the lower edge, and so far below its chin that little of it can
    be lacking.
    """
    height, bottom = len(mask), int(np.flatnonzero(mask.any(axis=1))[-1]) + 1
    return bottom < 0.985 * height and bottom - face[3] > max(
        0.75 * (height - face[3]), 2.2 * _wide(face)
    )


def _unlike(far: Values, weights: Weights) -> Values:
    """0 for a background's colour, 1 for what no background has."""
    found: Values = np.clip((far - weights.alike) / (weights.unlike - weights.alike), 0, 1)
    return found


def _sideways(face: Box) -> bool:
    """Whether a face is seen from the side: it is narrow."""
    return face[2] - face[0] < 0.75 * (face[3] - face[1])


def _place_by_face(shape: tuple[int, ...], face: Box, weights: Weights) -> Values:
    """Where a body is, seen from the face: 1 in its middle, 0 at its usual sides, negative further
    away.

    A face that is seen from the side is narrow, and much of the head is beside it.
    """
    left, top, right, chin = face
    wide = max(right - left, 0.8 * (chin - top), 4.0)
    sideways = _sideways(face)
    across = np.abs(np.arange(shape[1]) - (left + right) / 2)[None] / wide
    down = (np.arange(shape[0]) - chin)[:, None] / wide
    if sideways:
        across, down = across / 1.5, down / 1.5
    points = [-3.0, -2.4, -1.7, -0.3, 0.2, 1.0, 4.0, 7.0, 12.0]
    inner = np.interp(down, points, [0.0, 0.3, 0.7, 0.8, 0.6, 0.7, 0.7, 0.6, 0.5])
    outer = np.interp(down, points, [0.5, 0.9, 1.2, 1.3, 1.2, 1.3, 1.4, 1.3, 1.1]) * weights.wide
    found = np.clip(1 - (across - inner) / np.maximum(outer - inner, 0.2), -1.5, 1.0)
    away: Values = np.where(found < 0, found * weights.away, found)
    return away


def _place_by_middle(shape: tuple[int, ...]) -> Values:
    """The same where no face was seen: most likely in the middle."""
    across = np.abs(np.linspace(-1, 1, shape[1]))[None]
    down = np.linspace(0, 1, shape[0])[:, None]
    upper = np.clip((0.04 - down) / 0.04, 0, 1)
    found: Values = np.clip(0.7 - 1.6 * across, -1.5, 0.6) - upper
    return found


def _core(labels: Labels, face: Box) -> Mask:
    """The regions that are the face."""
    count = int(labels.max()) + 1
    left, top, right, bottom = face
    inside = np.bincount(labels[top:bottom, left:right].ravel(), minlength=count)
    return inside > 0.6 * np.bincount(labels.ravel(), minlength=count)


def _below_the_chin(labels: Labels, face: Box) -> Values:
    """The share of the place below the chin, where neck and breast are, that each region takes."""
    count, (height, width) = int(labels.max()) + 1, labels.shape
    wide, middle = face[2] - face[0], (face[0] + face[2]) // 2
    left, right = max(0, round(middle - 0.35 * wide)), min(width, round(middle + 0.35 * wide) + 1)
    top, bottom = (
        min(height - 1, round(face[3] + 0.15 * wide)),
        min(height, round(face[3] + 1.1 * wide)),
    )
    strip = labels[top : max(bottom, top + 1), left : max(right, left + 1)].ravel()
    return np.bincount(strip, minlength=count) / max(1, strip.size)


def _around(labels: Labels, face: Box) -> Values:
    """The share of a rim around the face, down to the chin's height, that each region takes: hair,
    hat or hood.
    """
    count, (left, top, right, chin) = int(labels.max()) + 1, face
    by = max(2, round(0.15 * (right - left)))
    box = np.s_[max(0, top - by) : round(top + 0.7 * (chin - top)), max(0, left - by) : right + by]
    inner = np.zeros(labels.shape, dtype=bool)
    inner[top:chin, left:right] = True
    rim = labels[box][~inner[box]]
    return np.bincount(rim, minlength=count) / max(1, rim.size)


def _seeds(regions: Regions, place: Values, breast: Values, weights: Weights) -> Mask:
    """What is background for sure.

    It reaches the left, upper or right side where no body is expected, or an upper corner, or both
    sides, itself or by another region of its colours at the same height; or it lies far from any
    body.
    """
    height, width = regions.labels.shape
    left, top, right, _ = regions.sides.T
    reaches = (left > 0.015 * height) | (right > 0.015 * height) | (top > 0.015 * width)
    corner = (top > 0) & ((left > 0) | (right > 0))
    across = (left > 0) & (right > 0)
    body = (breast > BODY) & ~corner & ~(across & (top > 0))
    sure: Mask = ((reaches & (place < weights.reach)) | (place < -0.9) | across | corner) & ~body
    sides = [
        np.flatnonzero((edge > 0.015 * height) & ~body & (place < 0.9)) for edge in (left, right)
    ]
    for one, others in (sides, sides[::-1]):
        if len(one) and len(others):
            sure[one] |= _distance(regions, others)[one] < ALIKE
    return sure


def _distance(regions: Regions, seeds: NDArray[np.int64]) -> Values:
    """ΔE of each region from the most similar background that goes on at its height."""
    count, height = regions.profile.shape[:2]
    reach = max(1, round(REACH * height))
    far = np.full(count, 100.0)
    for seed in seeds:
        first, last = regions.rows[seed]
        own = regions.profile[seed]
        there = np.flatnonzero(~np.isnan(own[:, 0]))
        nearest = there[np.clip(np.searchsorted(there, np.arange(height)), 0, len(there) - 1)]
        colours = own[nearest]
        low, high = max(0, first - reach), min(height, last + reach)
        step = np.sqrt(((regions.profile[:, low:high] - colours[low:high]) ** 2).sum(axis=-1))
        seen = ~np.isnan(step)
        total = np.where(seen, step, 0).sum(axis=1)
        each = seen.sum(axis=1)
        rows = regions.rows[:, 1] - regions.rows[:, 0]
        enough = each >= 0.6 * rows
        mean = np.where(enough, total / np.maximum(each, 1), 100.0)
        mean[seed] = 0.0
        far = np.minimum(far, mean)
    return far


def _thickness(regions: Regions) -> Values:
    """How thick each region is, what it encloses left out: its area by its longer side, pixels."""
    tall = regions.rows[:, 1] - regions.rows[:, 0]
    wide = regions.columns[:, 1] - regions.columns[:, 0]
    found: Values = regions.area / np.maximum(tall, wide)
    return found


def _likeness(regions: Regions, own: NDArray[np.int64]) -> Values:
    """ΔE of each region from the most similar of the character's known ones, wherever they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(regions.profile, axis=1)
    apart = np.sqrt(((mean[:, None] - mean[own][None]) ** 2).sum(axis=-1))
    found: Values = apart.min(axis=1).astype(np.float64)
    return found


def _one_figure(
    regions: Regions, chosen: Mask, seeds: Mask, place: Values, far: Values, face: Box | None
) -> Mask | None:
    """The pieces that hang together with the face, or the largest.

    A piece under it, such as legs below a skirt of the meadow's colour, belongs to it with what
    lies between.
    """
    labels = regions.labels
    mask = chosen[labels]
    numbers, count = label_regions(_grown(mask, GAP))
    numbers = np.where(mask, numbers, 0)
    if not count:
        return None
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    sizes[0] = 0
    own = int(sizes.argmax())
    if face:
        inside = np.bincount(
            numbers[face[1] : face[3], face[0] : face[2]].ravel(), minlength=count + 1
        )
        inside[0] = 0
        own = int(inside.argmax()) if inside.any() else own
    if not face:
        return _with_gaps(numbers == own, far[labels])
    central = np.bincount(numbers.ravel(), place[labels].ravel()) / np.maximum(
        np.bincount(numbers.ravel()), 1
    )
    belongs = (sizes > 0.02 * sizes[own]) & (central > 0.7)
    belongs[own], belongs[0] = True, False
    body: Mask = belongs[numbers]
    if belongs.sum() > 1:
        body |= _between(regions, body, ~chosen & ~seeds & (place > 0.85))
    return _with_gaps(body, far[labels])


def _between(regions: Regions, body: Mask, may: Mask) -> Mask:
    """What may be of the body and lies within its rows and columns, such as a skirt between breast
    and legs.
    """
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    inside = (regions.rows[:, 0] >= rows[0]) & (regions.rows[:, 1] <= rows[-1] + 1)
    inside &= (regions.columns[:, 0] >= columns[0]) & (regions.columns[:, 1] <= columns[-1] + 1)
    found: Mask = (may & inside)[regions.labels]
    return found


def _with_gaps(body: Mask, far: Values) -> Mask:
    """With what it encloses, unless that is of the background's colour, and with the thin strips
    between its parts.
    """
    closed = ~_grown(~_grown(body, GAP), GAP) | body
    holes, _ = label_regions(np.pad(~closed, 1, constant_values=True))
    enclosed = (holes != holes[0, 0])[1:-1, 1:-1] & ~closed
    found: Mask = closed | (enclosed & (far > ALIKE))
    return found


def _grown(mask: Mask, by: int) -> Mask:
    """Grown to all sides."""
    size = 2 * by + 1
    found = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).filter(
        ImageFilter.MaxFilter(size)
    )
    grown: Mask = np.asarray(found) > 127
    return grown
