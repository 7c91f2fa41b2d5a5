"""Which traits a picture should show where no crop has its framing."""

from __future__ import annotations

import pytest

from lib_singlelora.judge.traits import _closer

WHOLE = {
    "portrait": {"white hat": 0.9},
    "cowboy_shot": {"corset": 0.8},
    "lower_body": {"boots": 0.9},
}
VIEWS = {"portrait": ("portrait",), "cowboy_shot": ("cowboy shot",), "lower_body": ("lower body",)}


@pytest.mark.parametrize(
    ("framing", "seen"),
    [
        ("upper body", "portrait"),
        ("full body", "cowboy_shot"),
        ("portrait", None),
        ("lower body", None),
        ("close-up", None),
    ],
)
def test_the_next_closer_crop_stands_for_a_framing_that_has_none(
    framing: str, seen: str | None
) -> None:
    assert _closer(WHOLE, VIEWS, framing) == ([WHOLE[seen]] if seen else [])
