"""The categories of tags."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from lib_singlelora.captions.tag_categories import (
    FILE,
    NAME,
    ORDER,
    categories_by_tag,
    category_of,
    plain,
    rank,
    tags_of,
)
from lib_singlelora.captions.tag_patterns import RULES


def listed() -> list[str]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [
        tag.strip() for line in lines if line and line[0] not in "#[" for tag in line.split(",")
    ]


def test_it_lists_many_tags_each_once() -> None:
    tags = listed()
    assert len(tags) >= 1500
    assert [tag for tag, count in Counter(tags).items() if count > 1 or not tag] == []
    assert all(tag == plain(tag) for tag in tags)


def test_every_category_has_tags_and_none_is_unknown() -> None:
    assert set(categories_by_tag().values()) == set(ORDER) - {NAME}
    assert {category for category, _ in RULES} <= set(ORDER)
    assert min(len(tags_of(category)) for category in ORDER if category != NAME) >= 10


@pytest.mark.parametrize(
    ("tag", "category"),
    [
        ("1girl", "count"),
        ("blonde hair", "hair colour"),
        ("long hair", "hair length"),
        ("twintails", "hair style"),
        ("blunt bangs", "bangs"),
        ("blue eyes", "eye colour"),
        ("large breasts", "chest"),
        ("dark skin", "skin"),
        ("freckles", "body"),
        ("cat ears", "species"),
        ("white dress", "outfit"),
        ("hair ribbon", "accessory"),
        ("standing", "pose"),
        ("hand on own hip", "hands"),
        ("peace sign", "gesture"),
        ("smile", "expression"),
        ("open mouth", "mouth"),
        ("looking at viewer", "gaze"),
        ("from above", "viewpoint"),
        ("cowboy shot", "framing"),
        ("white background", "background"),
        ("backlighting", "lighting"),
        ("sketch", "style"),
        ("jpeg artifacts", "quality"),
        ("sword", "object"),
    ],
)
def test_listed_tags_speak_of_what_they_do(tag: str, category: str) -> None:
    assert category_of(tag) == category


@pytest.mark.parametrize(
    ("tag", "category"),
    [
        ("striped capelet", "outfit"),
        ("teal scarf", "accessory"),
        ("two-tone ribbon", "accessory"),
        ("mauve thighhighs", "outfit"),
        ("teal bowtie", "accessory"),
        ("lilac hair", "hair colour"),
        ("light teal hair", "hair colour"),
        ("knee-length hair", "hair length"),
        ("triple braids", "hair style"),
        ("curved bangs", "bangs"),
        ("mint eyes", "eye colour"),
        ("teal skin", "skin"),
        ("hippo ears", "species"),
        ("weasel girl", "species"),
        ("scar on knee", "body"),
        ("hand on own elbow", "hands"),
        ("holding trumpet", "hands"),
        ("looking at cat", "gaze"),
        ("wry smile", "expression"),
        ("teal background", "background"),
        ("elbow focus", "framing"),
        ("left shoe removed", "outfit"),
        ("polka dot umbrella", "object"),
        ("7girls", "count"),
        ("mint light", "lighting"),
        ("1970s (style)", "style"),
        ("bluesky username", "quality"),
        ("from ceiling", "viewpoint"),
        ("rating:sensitive", "quality"),
        ("sitting on swing", "pose"),
        ("teal hair ribbon", "accessory"),
    ],
)
def test_patterns_tell_what_the_list_lacks(tag: str, category: str) -> None:
    assert tag not in categories_by_tag()
    assert category_of(tag) == category


@pytest.mark.parametrize(
    ("tag", "category"),
    [
        ("closed eyes", "expression"),
        ("half-closed eyes", "expression"),
        ("wide happy eyes", "expression"),
        ("hair between eyes", "bangs"),
        ("hair ornament", "accessory"),
        ("white hair ornament", "accessory"),
        ("facial hair", "body"),
        ("fake animal ears", "accessory"),
        ("hand on own breast", "hands"),
        ("breast pocket", "outfit"),
        ("hat ribbon", "accessory"),
        ("unworn hat", "object"),
        ("holding hat", "hands"),
        ("cropped jacket", "outfit"),
        ("cropped legs", "framing"),
        ("bow (weapon)", "object"),
        ("skin tight", "outfit"),
        ("bald eagle", ""),
        ("red riding hood", "outfit"),
        ("hair in own mouth", "mouth"),
        ("red lips", "body"),
    ],
)
def test_exceptions_come_before_the_pattern_they_look_like(tag: str, category: str) -> None:
    assert category_of(tag) == category


def test_what_nobody_knows_has_no_category_and_comes_last() -> None:
    assert category_of("zxqv") == ""
    assert rank("zxqv") > rank("jpeg artifacts") > rank("1girl") == 0


def test_a_tag_is_known_however_it_is_written() -> None:
    assert category_of("White_Dress") == category_of("  white  dress ") == "outfit"
    assert category_of(r"bow \(weapon\)") == "object"
    assert category_of("^_^") == "expression"


def test_patterns_agree_with_the_list() -> None:
    """A pattern that fits a listed tag agrees with the list in more than nine of ten cases."""
    by_pattern = {
        tag: next((name for name, pattern in RULES if pattern.fullmatch(tag)), "")
        for tag in categories_by_tag()
    }
    known = [tag for tag in by_pattern if by_pattern[tag]]
    assert len(known) > 2000
    assert sum(by_pattern[tag] == categories_by_tag()[tag] for tag in known) > 0.9 * len(known)


def test_no_pattern_takes_a_listed_tag_for_hers_that_is_not() -> None:
    """Categories that captions always leave out must not swallow others."""
    of_the_character = ("hair colour", "hair length", "eye colour", "skin")
    for name, pattern in RULES:
        if name in of_the_character:
            wrong = [
                tag
                for tag, own in categories_by_tag().items()
                if own not in (*of_the_character, "hair style", "bangs", "body", "expression")
                and pattern.fullmatch(tag)
                and next(n for n, p in RULES if p.fullmatch(tag)) == name
            ]
            assert [tag for tag in wrong if not re.search("hair|skin|eyes|ice", tag)] == [], name
