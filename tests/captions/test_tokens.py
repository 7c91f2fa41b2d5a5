"""CLIP's tokens, as transformers counts them."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("tokenizers")

from lib_singlelora.captions.tag_categories import categories_by_tag
from lib_singlelora.captions.tokens import CLIP, count_tokens, is_word, mark_limit, rare_words

LONG = ", ".join(["a very long caption"] * 40)


def test_the_count_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    # Its slow one cuts punctuation in another way where the package ftfy is missing; the WebUI has
    # ftfy.
    kind = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
    theirs = kind.from_pretrained(CLIP)
    chance = random.Random(1)
    tags = list(categories_by_tag())
    texts = [", ".join(chance.sample(tags, 20)) for _ in range(50)]
    for text in [
        *texts,
        "",
        "ISABELLA",
        "it's  a\n dog's",
        "héllo wörld 日本 :3 \U0001f600",
        ">_<, ^_^",
    ]:
        assert count_tokens(text) == len(
            theirs(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
        ), text


def test_the_limit_is_marked_where_75_tokens_end() -> None:
    fits, beyond = mark_limit(LONG)
    assert fits + beyond == LONG
    assert count_tokens(fits) == 75
    assert count_tokens(beyond) == count_tokens(LONG) - 75


def test_a_short_text_has_nothing_beyond() -> None:
    assert mark_limit("isabella, girl") == ("isabella, girl", "")
    assert mark_limit("") == ("", "")


@pytest.mark.parametrize(
    ("word", "whole"), [("dog", True), ("Isabella", True), ("saezu", False), ("dvthm", False)]
)
def test_words_that_clip_has_whole(word: str, whole: bool) -> None:
    assert is_word(word) is whole


def test_rare_words_are_short_single_tokens() -> None:
    words = rare_words(8)
    assert len(set(words)) == 8
    assert all(count_tokens(word) == 1 and word.isalpha() for word in words)
