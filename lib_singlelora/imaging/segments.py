"""Segmentation into regions of nearly one colour (gradients included), their borders, and a cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import roots_of

Array = NDArray[np.float32]
Labels = NDArray[np.int32]
SCALE = 40.0  # ΔE times pixels: the larger, the larger the regions
LEAST = 12  # pixels: smaller ones join their most similar neighbour


def to_lab(pixels: NDArray[np.uint8]) -> Array:
    """sRGB (H, W, 3) in CIE L*a*b* under D65, in which a distance of 1 is just visible."""
    value = pixels.astype(np.float32) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
    )
    xyz = linear @ (to_xyz / np.array([[0.9505], [1.0], [1.089]], np.float32)).T
    cube = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x = cube[..., 0]
    y = cube[..., 1]
    z = cube[..., 2]
    lab: Array = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)
    return lab


def noise_of(lab: Array) -> float:
    """The median ΔE between neighbours: 0 in clean drawings."""
    return float(np.median(np.sqrt(((lab[:, 1:] - lab[:, :-1]) ** 2).sum(axis=-1))))


def segment(lab: Array, scale: float = SCALE, least: int = LEAST, tolerance: float = 1.5) -> Labels:
    """The number of each pixel's region, from 0 on, (H, W).

    Two regions merge where the step between them is no larger than the steps within both, plus a
    tolerance that shrinks as they grow: a sky with a gradient is one region, and a small thing of
    another colour stays by itself.

    scale: ΔE times pixels; the larger, the larger the regions.
    least: pixels of a region.
    tolerance: ΔE between neighbours that always merges them.
    Source: Felzenszwalb and Huttenlocher 2004, Efficient Graph-Based Image Segmentation.
    """
    height, width = lab.shape[:2]
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    ends = [
        (index[:, :-1], index[:, 1:], lab[:, :-1] - lab[:, 1:]),
        (index[:-1], index[1:], lab[:-1] - lab[1:]),
    ]
    weights = np.concatenate([np.sqrt((step**2).sum(axis=-1)).ravel() for _, _, step in ends])
    ones = np.concatenate([one.ravel() for one, _, _ in ends])
    others = np.concatenate([other.ravel() for _, other, _ in ends])
    order = np.argsort(weights, kind="stable")
    weights = weights[order]
    ones = ones[order]
    others = others[order]
    parent = list(range(height * width))
    size = [1] * len(parent)
    limit = [scale] * len(parent)
    # Each root is looked up here, not in a function, which would take half as long again
    for one, other, weight in zip(ones.tolist(), others.tolist(), weights.tolist(), strict=True):
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        while parent[other] != other:
            parent[other] = other = parent[parent[other]]
        if one != other and (
            weight <= tolerance or (weight <= limit[one] and weight <= limit[other])
        ):
            if size[one] < size[other]:
                one, other = other, one
            parent[other] = one
            size[one] += size[other]
            limit[one] = weight + scale / size[one]
    roots = roots_of(parent)
    parent = roots.tolist()
    one_roots = roots[ones]
    other_roots = roots[others]
    apart = one_roots != other_roots  # few, and only these may merge still
    for one, other in zip(one_roots[apart].tolist(), other_roots[apart].tolist(), strict=True):
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        while parent[other] != other:
            parent[other] = other = parent[parent[other]]
        if one != other and (size[one] < least or size[other] < least):
            if size[one] < size[other]:
                one, other = other, one
            parent[other] = one
            size[one] += size[other]
    _, labels = np.unique(roots_of(parent), return_inverse=True)
    return labels.reshape(height, width).astype(np.int32)


@dataclass(frozen=True)
class Borders:
    """The borders between neighbouring regions.

    one, other: the numbers of both regions.
    length: pixels.
    step: mean ΔE across.
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    length: NDArray[np.float64]
    step: NDArray[np.float64]


def borders(labels: Labels, lab: Array) -> Borders:
    """Every pair of neighbours once."""
    count = int(labels.max()) + 1
    by_direction = []
    for near, far in ((np.s_[:, :-2], np.s_[:, 2:]), (np.s_[:-2], np.s_[2:])):
        a = labels[near].ravel().astype(np.int64)
        b = labels[far].ravel().astype(np.int64)
        step = np.sqrt(((lab[near] - lab[far]) ** 2).sum(axis=-1)).ravel()
        apart = a != b
        by_direction.append(
            (np.minimum(a, b)[apart] * count + np.maximum(a, b)[apart], step[apart])
        )
    keys = np.concatenate([key for key, _ in by_direction])
    steps = np.concatenate([step for _, step in by_direction])
    pairs, inverse, lengths = np.unique(keys, return_inverse=True, return_counts=True)
    total = np.bincount(inverse, steps)
    # Each pixel of a border is met twice, because two pixels apart are compared.
    return Borders(pairs // count, pairs % count, lengths / 2, total / lengths)


def min_cut(
    gains: NDArray[np.float64], pairs: Borders, costs: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """The choice of regions with the largest gains minus the costs of the borders it cuts, (n,).

    gains: of choosing each region; negative: of leaving it out.
    costs: of cutting each border.
    Source: Dinitz 1970, maximum flow by layers.
    """
    count = len(gains)
    source = count
    sink = count + 1
    heads: list[list[int]] = [[] for _ in range(count + 2)]
    target: list[int] = []
    room: list[float] = []

    def connect(start: int, end: int, there: float, back: float) -> None:
        heads[start].append(len(target))
        heads[end].append(len(target) + 1)
        target.extend((end, start))
        room.extend((there, back))

    for region, gain in enumerate(gains.tolist()):
        connect(source, region, max(gain, 0.0), 0.0)
        connect(region, sink, max(-gain, 0.0), 0.0)
    for one, other, cost in zip(
        pairs.one.tolist(), pairs.other.tolist(), costs.tolist(), strict=True
    ):
        connect(one, other, cost, cost)
    while (levels := _levels(source, sink, heads, target, room)) is not None:
        at = [0] * (count + 2)
        while _push(source, sink, heads, target, room, levels, at):
            pass
    return np.array(_reached(source, heads, target, room)[:count])


def _levels(
    source: int, sink: int, heads: list[list[int]], target: list[int], room: list[float]
) -> list[int] | None:
    """The number of edges from the source to each node; None if the sink is out of reach."""
    levels = [-1] * len(heads)
    levels[source] = 0
    queue = [source]
    for node in queue:
        for edge in heads[node]:
            if room[edge] > 1e-9 and levels[target[edge]] < 0:
                levels[target[edge]] = levels[node] + 1
                queue.append(target[edge])
    return levels if levels[sink] >= 0 else None


def _push(
    source: int,
    sink: int,
    heads: list[list[int]],
    target: list[int],
    room: list[float],
    levels: list[int],
    at: list[int],
) -> bool:
    """Fill one path of the layered graph; False if there is none left."""
    path: list[int] = []
    node = source
    while node != sink:
        while at[node] < len(heads[node]):
            edge = heads[node][at[node]]
            if room[edge] > 1e-9 and levels[target[edge]] == levels[node] + 1:
                break
            at[node] += 1
        if at[node] == len(heads[node]):
            if not path:
                return False
            node = target[path.pop() ^ 1]
            at[node] += 1
            continue
        path.append(heads[node][at[node]])
        node = target[path[-1]]
    least = min(room[edge] for edge in path)
    for edge in path:
        room[edge] -= least
        room[edge ^ 1] += least
    return True


def _reached(
    source: int, heads: list[list[int]], target: list[int], room: list[float]
) -> list[bool]:
    """True for each node that the source still reaches."""
    reached = [False] * len(heads)
    reached[source] = True
    queue = [source]
    for node in queue:
        for edge in heads[node]:
            if room[edge] > 1e-9 and not reached[target[edge]]:
                reached[target[edge]] = True
                queue.append(target[edge])
    return reached
