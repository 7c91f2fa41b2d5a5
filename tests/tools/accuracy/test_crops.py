"""Crops of drawings whose truth is known; the benchmark says more."""

from __future__ import annotations

import pytest

pytest.importorskip("skia")

from tools.accuracy.crops import RULES, Count, bench, examples, faults


@pytest.fixture(scope="module")
def totals() -> dict[str, Count]:
    return bench(10, 200, 0.4, report=False)


def test_nine_of_ten_crops_show_what_their_names_say(totals: dict[str, Count]) -> None:
    assert totals["all"].proposed >= 50
    assert totals["all"].right >= 0.9 * totals["all"].proposed


def test_few_views_that_the_picture_allows_are_missed(totals: dict[str, Count]) -> None:
    assert totals["all"].missed <= 0.15 * totals["all"].allowed


def test_the_rules_refuse_a_wrong_crop() -> None:
    example = next(examples(1, 200, 0.4))
    whole = (0, 0, *example.image.size)
    assert faults("full_body", whole, example) == []
    corner = (0, 0, 40, 40)
    assert all(faults(name, corner, example) for name in RULES)
    assert faults("face", whole, example) and faults("portrait", whole, example)
