"""Settings of the character: the words that stand for it."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class CharacterSettings:
    """Who she is."""

    trigger: str = setting(
        "",
        label="Trigger",
        word="trigger",
        help="The word that calls her in prompts; pick one the model has no idea of.",
    )
    class_token: str = setting(
        "girl",
        label="Class",
        word="class",
        help="What she is in one word: girl, boy, woman, dragon.",
    )
