"""What a tagger's scores say of how much of her is there."""

import pytest

from lib_singlelora.judge.cells import NO_LORA, CellSpec, Judgement, LoraSource
from lib_singlelora.judge.recommend import reason, recommend
from lib_singlelora.metrics.ranking import choose_gentlest, smooth_scores
from lib_singlelora.metrics.retention import common_traits, measure_retention
from lib_singlelora.metrics.similarity import PixelCheck

SHE = {
    "white hat": 0.95,
    "blonde hair": 0.9,
    "smile": 0.9,
    "white background": 0.99,
    "green bow": 0.2,
}


def test_traits_are_hers_and_not_the_scenes() -> None:
    assert common_traits([SHE, SHE]) == ("white hat", "blonde hair")


def test_a_tag_of_few_crops_is_no_trait() -> None:
    odd = {"red scarf": 0.9}
    assert common_traits([SHE, SHE, SHE, {**SHE, **odd}]) == ("white hat", "blonde hair")
    assert "red scarf" in common_traits([SHE, {**SHE, **odd}])


def test_no_crops_have_no_traits() -> None:
    assert common_traits([]) == ()


def test_retention_counts_pictures_and_averages_certainty() -> None:
    found = measure_retention(
        ("white hat", "blonde hair"), [{"white hat": 0.9}, {"white hat": 0.7, "blonde hair": 0.2}]
    )
    assert found.counts == {"white hat": 2, "blonde hair": 0}
    assert found.score == pytest.approx((0.9 + 0 + 0.7 + 0.2) / 4)


def test_a_lone_lucky_cell_loses_against_a_good_neighbourhood() -> None:
    values = {
        (0, 0): 1.0,
        (0, 1): 0.0,
        (1, 0): 0.0,
        (1, 1): 0.5,
        (2, 1): 0.6,
        (1, 2): 0.6,
        (2, 2): 0.7,
    }
    even = smooth_scores(values)
    assert max(even, key=lambda spot: even[spot]) == (2, 2)


def test_the_gentlest_of_equals_is_taken() -> None:
    assert choose_gentlest({(0, 0): 0.2, (1, 1): 0.992, (2, 1): 0.995, (3, 2): 1.0}) == (1, 1)
    assert choose_gentlest({}) is None


def judged(score: float, broken: str = "") -> Judgement:
    return Judgement(
        PixelCheck(0.5, broken), measure_retention(("white hat",), [{"white hat": score}])
    )


def test_the_recommended_cell_keeps_her_and_is_whole() -> None:
    places = {
        CellSpec(LoraSource.epoch(epoch), strength, "ALL", None): judged(
            0.1 * epoch + 0.3 * strength
        )
        for epoch in range(1, 6)
        for strength in (0.4, 1.0)
    }
    places[CellSpec(NO_LORA, 0.0, "", None)] = judged(1.0)
    best = recommend(places)
    assert best is not None and best.source.number >= 4 and best.strength == 1.0
    assert "1 of 1 traits" in reason(best, places)
    spoiled = {
        place: judged(1.0, "noise") if place == best else seen for place, seen in places.items()
    }
    assert recommend(spoiled) != best


def test_without_a_tagger_colours_decide() -> None:
    looks = {
        CellSpec(LoraSource.epoch(epoch), 1.0, "ALL", None): Judgement(PixelCheck(0.1 * epoch, ""))
        for epoch in (1, 2, 3)
    }
    best = recommend(looks)
    assert best is not None and best.source.number == 3 and "colours" in reason(best, looks)
