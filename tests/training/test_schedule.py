"""Learning rates over a training, against their formulas written out."""

import itertools
import math

import pytest

from lib_singlelora.training.schedule import learning_rate_factor, warmup_steps

NAMES = ("constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "rex")


@pytest.mark.parametrize("name", NAMES)
def test_every_schedule_rises_over_the_warmup_and_starts_from_one(name: str) -> None:
    factors = [learning_rate_factor(name, step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert factors[10] == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"constant", "cosine_with_restarts"}))
def test_falling_schedules_fall_to_nearly_nothing(name: str) -> None:
    factors = [learning_rate_factor(name, step, 200, 0) for step in range(200)]
    assert all(later < earlier for earlier, later in itertools.pairwise(factors))
    assert factors[-1] < 0.02


def test_the_middle_of_each_schedule_is_its_formula() -> None:
    def middle(name: str, **more: float) -> float:
        return learning_rate_factor(name, 50, 100, 0, **more)

    assert middle("linear") == pytest.approx(0.5)
    assert middle("cosine") == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert middle("polynomial", power=2.0) == pytest.approx(0.25)
    assert middle("rex") == pytest.approx(0.5 / 0.75)


def test_restarts_begin_again_at_one() -> None:
    factors = [
        learning_rate_factor("cosine_with_restarts", step, 90, 0, restarts=3) for step in range(90)
    ]
    assert [round(factors[step], 6) for step in (0, 30, 60)] == [1, 1, 1]
    assert factors[29] < 0.01 and factors[59] < 0.01


def test_warmup_is_a_share_below_one_and_steps_from_one_on() -> None:
    assert (warmup_steps(0.05, 200), warmup_steps(30, 200), warmup_steps(500, 200)) == (10, 30, 200)
