from __future__ import annotations

import random

from lib_singlelora.captions.text import compose_caption, join_tags, split_tags

CAPTION = "isabella, girl, smile, standing, hat, forest"


def test_tags_split_and_join_without_empty_and_repeated_ones() -> None:
    assert split_tags(" a, b c ,, d,") == ["a", "b c", "d"]
    assert join_tags(["a", " b ", "", "a", "c"]) == "a, b, c"


def test_shuffling_leaves_the_kept_pieces_in_front_and_loses_none() -> None:
    seen = {compose_caption(CAPTION, random.Random(seed)) for seed in range(50)}
    assert len(seen) > 10
    for caption in seen:
        assert caption.startswith("isabella, girl, ")
        assert sorted(split_tags(caption)) == sorted(split_tags(CAPTION))


def test_the_same_chance_gives_the_same_caption() -> None:
    assert compose_caption(CAPTION, random.Random(7)) == compose_caption(CAPTION, random.Random(7))


def test_without_shuffling_the_caption_is_unchanged() -> None:
    assert compose_caption(CAPTION, random.Random(0), shuffle=False) == CAPTION


def test_tag_dropout_spares_the_kept_pieces() -> None:
    assert compose_caption(CAPTION, random.Random(0), tag_dropout=1.0) == "isabella, girl"


def test_caption_dropout_drops_all_of_it_and_about_as_often_as_asked() -> None:
    chance = random.Random(0)
    empty = sum(compose_caption(CAPTION, chance, caption_dropout=0.25) == "" for _ in range(2000))
    assert abs(empty / 2000 - 0.25) < 0.03


def test_prefix_and_suffix_come_before_everything_else() -> None:
    assert (
        compose_caption("b", random.Random(0), shuffle=False, prefix="a,", suffix=", c")
        == "a, b , c"
    )


def test_of_several_lines_the_first_counts_unless_wildcards_are_on() -> None:
    assert compose_caption("a\nb", random.Random(0), shuffle=False) == "a"
    seen = {
        compose_caption("a {x|y}\nb", random.Random(n), shuffle=False, wildcards=True)
        for n in range(30)
    }
    assert seen == {"a x", "a y", "b"}
