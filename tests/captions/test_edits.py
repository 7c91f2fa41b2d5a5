"""The same change in many captions."""

from __future__ import annotations

import pytest

from lib_singlelora.captions.edits import edit_caption, parse_replacement, tag_table
from lib_singlelora.errors import SettingsError

CAPTION = "isabella, girl, white dress, smile"


def test_tags_are_replaced_in_place_removed_and_added_at_the_end() -> None:
    assert (
        edit_caption(CAPTION, ["hat"], ["smile"], {"white dress": "dress"})
        == "isabella, girl, dress, hat"
    )


def test_a_tag_is_found_however_it_is_written() -> None:
    assert edit_caption("isabella, White_Dress", remove=["white dress"]) == "isabella"
    assert edit_caption("isabella, white_dress", add=["white dress"]) == "isabella, white_dress"


def test_what_the_change_does_not_touch_stays_letter_for_letter() -> None:
    odd = "isabella ,girl,, smile,\n"
    assert edit_caption(odd, remove=["hat"]) == odd


def test_a_replacement_that_is_there_already_leaves_one() -> None:
    assert edit_caption("a, b, c", replace={"b": "c"}) == "a, c"


def test_every_line_of_alternatives_is_changed() -> None:
    assert edit_caption("a, b\nc, b\n", add=["d"], remove=["b"]) == "a, d\nc, d"


def test_the_table_counts_captions_and_not_repetitions() -> None:
    assert tag_table(["a, b, a", "b", "c, b"]) == {"b": 3, "a": 1, "c": 1}
    assert list(tag_table(["b", "a"])) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("white dress=dress", ("white dress", "dress")),
        (" a = b ", ("a", "b")),
        ("=_==closed eyes", ("=_=", "closed eyes")),
        ("smile==_=", ("smile", "=_=")),
    ],
)
def test_a_replacement_is_read_even_with_faces_of_equals_signs(
    text: str, pair: tuple[str, str]
) -> None:
    assert parse_replacement(text) == pair


@pytest.mark.parametrize("text", ["", "=", "a=", "=b", "ab"])
def test_half_a_replacement_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="expected OLD=NEW"):
        parse_replacement(text)
