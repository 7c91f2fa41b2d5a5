"""From the regions that were chosen to one figure: pieces, gaps and holes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .boxes import PixelBox
from .components import label_regions
from .figure_regions import Regions, Values

ALIKE = 5.0  # ΔE from a background's colour: surely of it
GAP = 2  # pixels that may lie between parts of one figure
Mask = NDArray[np.bool_]


def one_figure(
    regions: Regions,
    chosen: Mask,
    seeds: Mask,
    place: Values,
    distance: Values,
    face: PixelBox | None,
) -> Mask | None:
    """The pieces that hang together with the face, or the largest; None where there is none.

    A piece under the face, such as legs below a skirt of the meadow's colour, belongs to it with
    what lies between.

    chosen, seeds: regions that are the character, and that are surely background.
    """
    labels = regions.labels
    mask = chosen[labels]
    numbers, count = label_regions(_grown(mask, GAP))
    numbers = np.where(mask, numbers, 0)
    if not count:
        return None
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    sizes[0] = 0
    main = int(sizes.argmax())
    if not face:
        return _without_gaps(numbers == main, distance[labels])
    inside = np.bincount(numbers[face[1] : face[3], face[0] : face[2]].ravel(), minlength=count + 1)
    inside[0] = 0
    if inside.any():
        main = int(inside.argmax())
    central = np.bincount(numbers.ravel(), place[labels].ravel()) / np.maximum(
        np.bincount(numbers.ravel()), 1
    )
    belongs = (sizes > 0.02 * sizes[main]) & (central > 0.7)
    belongs[main] = True
    belongs[0] = False
    body: Mask = belongs[numbers]
    if belongs.sum() > 1:
        body |= _between(regions, body, ~chosen & ~seeds & (place > 0.85))
    return _without_gaps(body, distance[labels])


def _between(regions: Regions, body: Mask, candidates: Mask) -> Mask:
    """The candidates within the body's rows and columns, such as a skirt between chest and legs."""
    rows = np.flatnonzero(body.any(axis=1))
    columns = np.flatnonzero(body.any(axis=0))
    inside = (regions.rows[:, 0] >= rows[0]) & (regions.rows[:, 1] <= rows[-1] + 1)
    inside &= (regions.columns[:, 0] >= columns[0]) & (regions.columns[:, 1] <= columns[-1] + 1)
    between: Mask = (candidates & inside)[regions.labels]
    return between


def _without_gaps(body: Mask, distance: Values) -> Mask:
    """The body with the thin strips between its parts, and with what it encloses.

    Enclosed places of the background's colour stay out.
    """
    closed = ~_grown(~_grown(body, GAP), GAP) | body
    holes, _ = label_regions(np.pad(~closed, 1, constant_values=True))
    enclosed = (holes != holes[0, 0])[1:-1, 1:-1] & ~closed
    filled: Mask = closed | (enclosed & (distance > ALIKE))
    return filled


def _grown(mask: Mask, pixels: int) -> Mask:
    """The mask grown to all sides, as Pillow's MaxFilter grows it, in a twentieth of the time."""
    tall: Mask = mask.copy()
    for shift in range(1, pixels + 1):
        tall[shift:] |= mask[:-shift]
        tall[:-shift] |= mask[shift:]
    grown: Mask = tall.copy()
    for shift in range(1, pixels + 1):
        grown[:, shift:] |= tall[:, :-shift]
        grown[:, :-shift] |= tall[:, shift:]
    return grown
