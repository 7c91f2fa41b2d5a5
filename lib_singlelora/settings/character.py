"""Settings of the character: the words that stand for it."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class CharacterSettings:
    """Character."""

    trigger: str = setting(
        "",
        label="Trigger",
        word="trigger",
        help=(
            "Word that stands for the character in captions and prompts; pick one that means "
            "nothing to the checkpoint."
        ),
    )
    class_token: str = setting(
        "girl",
        label="Class",
        word="class",
        help="What the character is, in one word: girl, boy, woman, dragon.",
    )
