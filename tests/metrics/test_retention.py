"""How much of the character a tagger's scores show, and the choice of a cell by that."""

import pytest

from lib_singlelora.judge.cells import NO_LORA, CellSpec, Judgement, LoraSource
from lib_singlelora.judge.reason import reason
from lib_singlelora.judge.recommend import recommend
from lib_singlelora.metrics.ranking import choose_gentlest, smooth_scores
from lib_singlelora.metrics.retention import common_traits, measure_retention, trait_weights
from lib_singlelora.metrics.similarity import PixelCheck

CHARACTER = {
    "white hat": 0.95,
    "blonde hair": 0.9,
    "smile": 0.9,
    "white background": 0.99,
    "green bow": 0.2,
}


def test_traits_are_the_characters_and_not_the_scenes() -> None:
    assert common_traits([CHARACTER, CHARACTER]) == ("white hat", "blonde hair")


def test_a_tag_of_few_crops_is_no_trait() -> None:
    odd = {"red scarf": 0.9}
    assert common_traits([CHARACTER, CHARACTER, CHARACTER, {**CHARACTER, **odd}]) == (
        "white hat",
        "blonde hair",
    )
    assert "red scarf" in common_traits([CHARACTER, {**CHARACTER, **odd}])


def test_no_crops_have_no_traits() -> None:
    assert common_traits([]) == ()


def test_retention_counts_pictures_and_averages_certainty() -> None:
    measured = measure_retention(
        ("white hat", "blonde hair"), [{"white hat": 0.9}, {"white hat": 0.7, "blonde hair": 0.2}]
    )
    assert measured.counts == {"white hat": 2, "blonde hair": 0}
    assert measured.score == pytest.approx((0.9 + 0 + 0.7 + 0.2) / 4)


def test_what_the_prompt_names_counts_as_far_as_the_checkpoint_does_not_draw_it_anyway() -> None:
    wanted = ("blonde hair", "blue dress", "boots")
    base = [{"blue dress": 1.0, "boots": 0.2}, {"blue dress": 0.8, "boots": 0.4}]
    weights = trait_weights(wanted, ("isa", "blue dress", "boots"), base)
    assert weights == pytest.approx({"blonde hair": 1.0, "blue dress": 0.1, "boots": 0.7})
    dressed = measure_retention(wanted, [{"blue dress": 1.0}], weights)
    assert dressed.score == pytest.approx(0.1 / 1.8) and dressed.counts["blue dress"] == 1
    assert trait_weights(wanted, ("boots",), [])["boots"] == 0
    assert measure_retention(("boots",), [{"boots": 1.0}], {"boots": 0.0}).score == 0


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
    smooth = smooth_scores(values)
    assert max(smooth, key=lambda position: smooth[position]) == (2, 2)


def test_the_gentlest_of_equals_is_taken() -> None:
    assert choose_gentlest({(0, 0): 0.2, (1, 1): 0.992, (2, 1): 0.995, (3, 2): 1.0}) == (1, 1)
    assert choose_gentlest({}) is None


def judged(score: float, invalid: str = "") -> Judgement:
    return Judgement(
        PixelCheck(0.5, invalid), measure_retention(("white hat",), [{"white hat": score}])
    )


def test_the_recommended_cell_keeps_the_traits_and_is_valid() -> None:
    cells = {
        CellSpec(LoraSource.epoch(epoch), strength, "ALL", None): judged(
            0.1 * epoch + 0.3 * strength
        )
        for epoch in range(1, 6)
        for strength in (0.4, 1.0)
    }
    cells[CellSpec(NO_LORA, 0.0, "", None)] = judged(1.0)
    best = recommend(cells)
    assert best is not None and best.source.number >= 4 and best.strength == 1.0
    assert "1 of 1 traits" in reason(best, cells)
    spoiled = {
        spec: judged(1.0, "noise") if spec == best else judgement
        for spec, judgement in cells.items()
    }
    assert recommend(spoiled) != best


def test_without_a_tagger_colours_decide() -> None:
    looks = {
        CellSpec(LoraSource.epoch(epoch), 1.0, "ALL", None): Judgement(PixelCheck(0.1 * epoch, ""))
        for epoch in (1, 2, 3)
    }
    best = recommend(looks)
    assert best is not None and best.source.number == 3 and "colours" in reason(best, looks)
