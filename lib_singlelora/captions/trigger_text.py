"""The trigger within a caption: found, taken out, or the class put in its place.

A trigger may have several words, and a text may write it in other letters, with underscores, or
within a sentence ("a photo of isabella dress style at the sea").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .tag_categories import plain
from .text import join_tags, split_tags


def has_trigger(caption: str, trigger: str) -> bool:
    """True if the caption has the trigger as a tag, or within one."""
    return bool(spelling_of(caption, trigger))


def spelling_of(caption: str, trigger: str) -> str:
    """The trigger as the caption writes it; '' where it has none."""
    tags = split_tags(caption) if trigger else []
    for tag in tags:
        if _is(tag, trigger):
            return tag
    for tag in tags:
        if found := _within(trigger).search(tag):
            return found.group()
    return ""


def without_triggers(caption: str, triggers: Sequence[str], class_token: str = "") -> str:
    """The caption without the triggers; within a sentence the class stands in for them."""
    return join_tags(_changed(caption, triggers, lambda tag: "", class_token))


def with_class(caption: str, trigger: str, class_token: str) -> str:
    """The caption with the class for the trigger.

    Where it names the class too, that then stands there twice: every other tag keeps its place.
    """
    return ", ".join(_changed(caption, (trigger,), lambda tag: class_token, class_token))


def _changed(
    caption: str, triggers: Sequence[str], changed: Callable[[str], str], class_token: str
) -> list[str]:
    """The tags, of which those that are a trigger are changed."""
    tags = split_tags(caption)
    for trigger in filter(None, triggers):
        if any(_is(tag, trigger) for tag in tags):
            tags = [changed(tag) if _is(tag, trigger) else tag for tag in tags]
        elif class_token:
            # Elsewhere it may be part of a name, such as that of a known character.
            tags = [_within(trigger).sub(lambda _: class_token, tag) for tag in tags]
    return tags


def _is(tag: str, trigger: str) -> bool:
    return plain(tag) == plain(trigger)


def _within(trigger: str) -> re.Pattern[str]:
    """The trigger as words of a longer text."""
    words = r"[\s_]+".join(re.escape(word) for word in re.split(r"[\s_]+", trigger))
    return re.compile(rf"(?<![\w-]){words}(?![\w-])", re.IGNORECASE)
