"""Intervals of figures, against tables and against simulated pictures."""

from __future__ import annotations

import numpy as np
import pytest

from lib_singlelora.metrics.intervals import half_widths, student_quantile, wilson_interval


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (30, 2.042)]
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.95, freedom) == pytest.approx(quantile, rel=0.01)


def test_wilsons_interval_is_that_of_the_books() -> None:
    assert wilson_interval(0.9, 10, 0.95) == pytest.approx((0.596, 0.982), abs=0.001)
    assert wilson_interval(1.0, 5, 0.95) == pytest.approx((0.566, 1.0), abs=0.001)
    assert wilson_interval(0.5, 0, 0.95) == (0.0, 1.0)


def test_half_widths_hold_the_mean_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    held = []
    for _ in range(300):
        groups = {
            name: list(random.normal(0.5, 0.1, count))
            for name, count in (("a", 1), ("b", 2), ("c", 4), ("d", 4))
        }
        widths = half_widths(groups, 0.9)
        held += [abs(np.mean(values) - 0.5) <= widths[name] for name, values in groups.items()]
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_without_two_pictures_of_any_cell_nothing_is_known_of_chance() -> None:
    assert half_widths({"a": [0.1], "b": [0.9]}, 0.9) == {}
    assert half_widths({"a": [0.1, 0.3], "b": [0.9]}, 0.9)["b"] > 0
