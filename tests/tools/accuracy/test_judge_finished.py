"""The judge's agreement is a rank correlation of each figure with the truth."""

from __future__ import annotations

import pytest

pytest.importorskip("skia")

from tools.accuracy.judge.finished import agreement


def test_a_figure_that_orders_as_the_truth_agrees_wholly_and_its_reverse_not_at_all() -> None:
    rows = [
        {"retention": value, "colours": 1 - value, "place by place": None, "truth": value**2}
        for value in (0.1, 0.5, 0.9)
    ]
    assert agreement(rows) == {
        "retention": 1.0,
        "colours": -1.0,
        "place by place": 0.0,
        "together": 1.0,  # without places the traits alone
    }


def test_together_colours_at_their_places_count_twice_what_traits_do() -> None:
    rows = [
        {"retention": retention, "colours": 0.0, "place by place": place, "truth": truth}
        for retention, place, truth in ((0.0, 0.2, 0.1), (0.8, 0.3, 0.2), (0.4, 0.8, 0.3))
    ]
    agreed = agreement(rows)
    assert agreed["retention"] == 0.5 and agreed["together"] == 1.0
