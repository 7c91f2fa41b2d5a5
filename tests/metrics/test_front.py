"""When a training no longer gets better."""

from __future__ import annotations

from lib_singlelora.metrics.front import last_move, stop_reason


def test_an_epoch_moves_the_front_where_it_is_better_in_one_criterion() -> None:
    scores = {
        1: {"retention": 0.2, "flexibility": 1.0, "damage": 0.0},
        2: {"retention": 0.5, "flexibility": 0.9, "damage": 0.0},
        3: {"retention": 0.5, "flexibility": 0.8, "damage": 0.1},
    }
    assert last_move(scores) == 2
    assert last_move({**scores, 4: {"retention": 0.4, "flexibility": 0.95, "damage": 0.0}}) == 4


def test_less_damage_moves_it_too() -> None:
    scores = {1: {"retention": 0.5, "damage": 0.6}, 2: {"retention": 0.5, "damage": 0.3}}
    assert last_move(scores) == 2


def test_a_gain_within_the_margin_is_chance_but_steady_gains_add_up() -> None:
    scores = {1: {"retention": 0.50}, 2: {"retention": 0.515}}
    assert last_move(scores) == 1
    assert last_move({**scores, 3: {"retention": 0.53}}) == 3


def test_it_stops_after_so_many_epochs_that_are_no_better() -> None:
    scores = {1: {"retention": 0.1}, 2: {"retention": 0.6}, 3: {"retention": 0.6}}
    assert stop_reason(scores, 2) == ""
    reason = stop_reason({**scores, 4: {"retention": 0.55}}, 2)
    assert "after epoch 4" in reason and "since epoch 2" in reason and "retention" in reason
    assert stop_reason({}, 1) == ""
