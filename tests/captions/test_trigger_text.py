"""The trigger within a caption, of one word or of several."""

from __future__ import annotations

import pytest

from lib_singlelora.captions.trigger_text import (
    has_trigger,
    spelling_of,
    with_class,
    without_triggers,
)

TRIGGER = "isabella dress style"


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("isabella dress style, girl, smile", True),
        ("isabella_dress_style, girl", True),
        ("Isabella Dress Style, girl", True),
        ("a photo of isabella dress style at the sea", True),
        ("isabella, dress style, girl", False),
        ("isabella dress styles, girl", False),
        ("girl, smile", False),
        ("", False),
    ],
)
def test_a_trigger_of_several_words_is_found_however_it_is_written(
    caption: str, found: bool
) -> None:
    assert has_trigger(caption, TRIGGER) == found


def test_it_is_told_as_the_caption_writes_it() -> None:
    assert spelling_of("girl, Isabella_Dress_style", TRIGGER) == "Isabella_Dress_style"
    assert spelling_of("a photo of isabella  dress style", TRIGGER) == "isabella  dress style"


def test_no_trigger_is_in_no_caption() -> None:
    assert not has_trigger("girl, smile", "")


@pytest.mark.parametrize(
    ("caption", "bare"),
    [
        ("isabella dress style, girl, smile", "girl, smile"),
        ("isabella_dress_style, girl, smile", "girl, smile"),
        ("girl, smile", "girl, smile"),
        ("a photo of isabella dress style at the sea", "a photo of girl at the sea"),
        # What is part of another name stays, where the trigger stands by itself.
        ("isabella dress style, isabella dress style (game)", "isabella dress style (game)"),
    ],
)
def test_it_is_taken_out(caption: str, bare: str) -> None:
    assert without_triggers(caption, (TRIGGER,), "girl") == bare


def test_both_triggers_are_taken_out() -> None:
    caption = "isabella, girl, isabella dress style, smile"
    assert without_triggers(caption, ("isabella", TRIGGER), "girl") == "girl, smile"


def test_the_class_takes_its_place() -> None:
    assert with_class("isabella dress style, girl, smile", TRIGGER, "girl") == "girl, girl, smile"
    assert with_class("a photo of isabella dress style", TRIGGER, "girl") == "a photo of girl"
