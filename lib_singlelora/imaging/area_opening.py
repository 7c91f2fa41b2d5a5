"""Small extrema of a channel: what an area opening by levels removes.

Labelling the whole picture once for each level takes half a second a channel at 2048 pixels, for a
few hundred pixels that stand out.  A square opening, spread a little within each level set, proves
of nearly all others that they belong to something large; around the rest, windows are labelled.
Source: Vincent 1993, area openings; Vincent 1993, reconstruction by dilation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Channel = NDArray[np.float32]
Levels = NDArray[np.float64]
Counts = NDArray[np.uint8]
SPREAD = 8  # steps in which proof of being large spreads; each is a pass over the picture
ROUNDING = 0.01  # of a level, more than float32 errs by
NEAR = 4  # pixels: groups of candidates so near to each other share a window
MARGIN = 12  # pixels around a group, at first
WIDER = 4  # times the margin, where a piece leaves the window
# Of labelling the whole picture at every level: the share from which on it is done
WORTH = 0.7
BELOW = 4  # levels that all candidates of a window lie beyond and that are labelled, about
CALL = 7000  # pixels: what labelling a window costs beside its pixels


def small_extrema(
    cv2: Any, channel: Channel, largest: int, brighter: bool, step: float, least: float
) -> Channel:
    """How far each pixel stands out as part of a small spot, (H, W), in multiples of `step`.

    Exact where it is `least` or more; elsewhere something below `least`.

    cv2: the OpenCV module.
    channel: (H, W), spread over fewer than 250 steps.
    largest: pixels of a spot at most.
    brighter: look for brighter spots, else for darker ones.
    step: between two levels.
    """
    levels = np.arange(float(channel.min()) + step / 2, float(channel.max()), step)
    if not brighter:
        levels = levels[::-1]
    height = np.zeros(channel.shape, dtype=np.float32)
    if not len(levels):
        return height
    deep = ceil(least / step)
    low, high = _level_counts(channel, levels, brighter, step)
    large = _large(cv2, low, largest)
    candidates = cv2.subtract(high, large) >= deep
    if not candidates.any():
        return height
    windows = list(_windows(cv2, candidates, large, low, high))
    if _work(windows) > WORTH * channel.size * len(levels):
        for level in levels:
            small, labels, _ = _small_pieces(cv2, channel, level, largest, brighter)
            height[small[labels]] += step
        return height
    for window in windows:
        margin = MARGIN
        found = None
        while found is None:
            found = _heights(cv2, channel, levels, window, margin, largest, brighter)
            margin *= WIDER
        height[window.rows, window.columns][window.own] = step * found
    return height


def _level_counts(
    channel: Channel, levels: Levels, brighter: bool, step: float
) -> tuple[Counts, Counts]:
    """How many levels each pixel lies beyond, at least and at most."""
    sign = 1 if brighter else -1
    beyond = channel * np.float32(sign / step)
    beyond += np.float32(1 - sign * levels[0] / step)
    # Below 1 where there is none; converting cuts what follows the point
    low = np.maximum(beyond - np.float32(ROUNDING), 0).astype(np.uint8)
    high = np.minimum(beyond + np.float32(ROUNDING), len(levels)).astype(np.uint8)
    return low, high


def _large(cv2: Any, counts: Counts, largest: int) -> Counts:
    """Up to which level each pixel belongs to a large piece, at least."""
    side = isqrt(largest) + 1
    square = np.ones((side, side), np.uint8)
    # No square reaches beyond the picture: what it cuts off would be missing in a piece's size
    inner = cv2.erode(counts, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # Of an even side the middle lies beside the middle, and there and back on other sides of it
    large: Counts = cv2.dilate(inner, square, anchor=(side - 1 - side // 2,) * 2)
    square = np.ones((3, 3), np.uint8)
    for _ in range(SPREAD):
        large = cv2.min(cv2.dilate(large, square), counts)
    return large


@dataclass(frozen=True)
class _Window:
    """A group of candidates.

    rows, columns: around it, without a margin.
    own: the group's candidates in there.
    first, last: the levels of interest, last excluded.
    reached: how many levels all of them lie beyond, at least.
    """

    rows: slice
    columns: slice
    own: Mask
    first: int
    last: int
    reached: int


def _windows(
    cv2: Any, candidates: Mask, large: Counts, low: Counts, high: Counts
) -> Iterator[_Window]:
    near = cv2.dilate(candidates.view(np.uint8), np.ones((NEAR + 1, NEAR + 1), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    for number in range(1, count):
        left, top, wide, tall = stats[number, :4].tolist()
        part = (slice(top, top + tall), slice(left, left + wide))
        own = candidates[part] & (labels[part] == number)
        first, last, reached = large[part][own].min(), high[part][own].max(), low[part][own].min()
        yield _Window(*part, own, int(first), int(last), int(reached))


def _work(windows: Sequence[_Window]) -> int:
    """Pixels to label, at all levels."""
    return sum(
        ((window.own.shape[0] + 2 * MARGIN) * (window.own.shape[1] + 2 * MARGIN) + CALL)
        * (window.last - max(window.first, window.reached - BELOW))
        for window in windows
    )


def _small_pieces(
    cv2: Any, channel: Channel, level: float, largest: int, brighter: bool
) -> tuple[Mask, NDArray[np.int32], NDArray[np.int32]]:
    """Which pieces beyond a level are small, by number; their labels (H, W) and statistics."""
    beyond = channel > level if brighter else channel < level
    _, labels, stats, _ = cv2.connectedComponentsWithStats(beyond.view(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= largest
    small[0] = False  # what is not beyond it
    return small, labels, stats


def _heights(
    cv2: Any,
    channel: Channel,
    levels: Levels,
    window: _Window,
    margin: int,
    largest: int,
    brighter: bool,
) -> NDArray[np.int64] | None:
    """At how many levels each of a window's own pixels is part of a small piece.

    None where a piece leaves the window, so that its size stays unknown.
    """
    high, wide = channel.shape
    top = max(0, window.rows.start - margin)
    left = max(0, window.columns.start - margin)
    bottom = min(high, window.rows.stop + margin)
    right = min(wide, window.columns.stop + margin)
    part = channel[top:bottom, left:right]
    rows, columns = np.nonzero(window.own)
    rows += window.rows.start - top
    columns += window.columns.start - left
    heights = np.zeros(len(rows), dtype=np.int64)
    for number in range(window.last - 1, window.first - 1, -1):
        small, labels, stats = _small_pieces(cv2, part, levels[number], largest, brighter)
        pieces = labels[rows, columns]
        if margin < largest:  # else what leaves the window is larger than that within it
            x, y, width, height = stats[:, :4].T
            leaves = (x == 0) & (left > 0) | (x + width == right - left) & (right < wide)
            leaves |= (y == 0) & (top > 0) | (y + height == bottom - top) & (bottom < high)
            if (small & leaves)[pieces].any():
                return None
        found = small[pieces]
        heights += found
        if number < window.reached and not found.any():
            break  # who belongs to something large does so at all lower levels
    return heights
