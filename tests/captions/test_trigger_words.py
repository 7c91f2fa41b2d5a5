"""Whether a word is free to be a trigger."""

from __future__ import annotations

import pytest

pytest.importorskip("tokenizers")

from lib_singlelora.captions.tokens import count_tokens
from lib_singlelora.captions.trigger_words import (
    check_word,
    meaningless_words,
    ordinary_words,
    suggest_words,
)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("dog", "one whole token"),
        ("isabella", "one whole token"),
        ("Smile", "it is a tag (expression)"),
        ("1girl", "it is a tag (count)"),
        ("qxwzvkjhgpt", "tokens; words"),
    ],
)
def test_a_word_that_is_taken_says_why(word: str, reason: str) -> None:
    check = check_word(word)
    assert not check.free
    assert any(reason in text for text in check.reasons)


def test_a_word_that_nobody_knows_is_free() -> None:
    check = check_word("saezu", ["isabella (story)"], ["striped capelet"])
    assert check.free and check.tokens == 3 and check.reasons == ()


@pytest.mark.parametrize("word", ["kovra", "Kovra", "kovra (story)"])
def test_a_character_that_the_tagger_knows_is_told(word: str) -> None:
    assert any(
        "known character" in reason for reason in check_word(word, ["kovra (story)"]).reasons
    )


def test_a_tag_that_only_the_tagger_knows_is_told() -> None:
    assert any("tagger knows" in reason for reason in check_word("kovra", tags=["kovra"]).reasons)


def test_suggestions_are_free_alike_each_time_and_sound_like_the_word() -> None:
    found = suggest_words("isabella", 4)
    assert found == suggest_words("isabella", 4) and len(set(found)) == 4
    assert all(check_word(word).free and word.startswith("isa") for word in found)
    assert len(suggest_words("日本", 4)) == 4


@pytest.mark.parametrize("tokens", [1, 2, 3, 4])
def test_words_to_compare_with_have_as_many_tokens(tokens: int) -> None:
    for words in (ordinary_words(tokens), meaningless_words(tokens)):
        assert len(set(words)) == 8
        assert {count_tokens(word) for word in words} == {tokens}
