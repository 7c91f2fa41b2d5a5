"""How far a figure may lie from what more pictures would give."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TypeVar

Key = TypeVar("Key")


def wilson_interval(share: float, count: float, confidence: float) -> tuple[float, float]:
    """(low, high) of a share of `count` trials, 0 to 1; (0, 1) without trials.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if count <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z
        / (1 + z * z / count)
        * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    )
    return max(0.0, middle - half), min(1.0, middle + half)


def student_quantile(confidence: float, freedom: int) -> float:
    """t with P(|T| ≤ t) = confidence for Student's distribution.

    Exact for 1 and 2 degrees of freedom, else within a hundredth.
    Source: Abramowitz and Stegun 1964, 26.7.5 (the expansion by Cornish and Fisher).
    """
    tail = 0.5 + confidence / 2
    if freedom == 1:
        return math.tan(math.pi * (tail - 0.5))
    if freedom == 2:
        return (2 * tail - 1) * math.sqrt(2 / (4 * tail * (1 - tail)))
    z = NormalDist().inv_cdf(tail)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / float(freedom) ** power for power, term in enumerate(terms))


def half_widths(groups: Mapping[Key, Sequence[float]], confidence: float) -> dict[Key, float]:
    """Half the width of each group's interval of the mean; none where no group has two values.

    The deviation of a value is pooled over the groups, as in a one-way analysis of variance: a
    group of one value has none of its own.  Source: Student 1908, "The Probable Error of a Mean".
    """
    squares = 0.0
    freedom = 0
    for values in groups.values():
        if len(values) > 1:
            mean = sum(values) / len(values)
            squares += sum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
    if not freedom:
        return {}
    width = student_quantile(confidence, freedom) * math.sqrt(squares / freedom)
    return {key: width / math.sqrt(len(values)) for key, values in groups.items() if values}
