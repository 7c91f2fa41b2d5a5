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
    assert agreement(rows) == {"retention": 1.0, "colours": -1.0, "place by place": 0.0}
