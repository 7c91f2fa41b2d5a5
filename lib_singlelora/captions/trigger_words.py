"""Whether a word is free to be a trigger, told without a checkpoint: its tokens, and who knows it
already.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .atlas import atlas, category_of, plain
from .tokens import count_tokens, is_word, rare_words

MOST_TOKENS = 4
_ONSETS = (
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "br",
    "dr",
    "kr",
    "tr",
    "vr",
    "zh",
    "kh",
    "th",
)
_VOWELS = ("a", "e", "i", "o", "u", "y", "ae", "ui")
_ENDS = ("", "k", "l", "m", "n", "r", "x", "z", "q", "v", "sk", "rn")
# One token each, known to every checkpoint that was trained on tags.
_ORDINARY = ("hat", "smile", "outdoors", "standing", "dress", "sitting", "portrait", "hair")


@dataclass(frozen=True)
class WordCheck:
    """What is known of a word.  known: in whose lists it stands, in words."""

    word: str
    tokens: int
    ordinary: bool
    known: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not to take it; none when it is free."""
        found = list(self.known)
        if self.ordinary:
            found.append("CLIP has it as one whole word, so it means something already")
        if self.tokens > MOST_TOKENS:
            found.append(
                f"it is cut into {self.tokens} tokens; up to {MOST_TOKENS} are learned more easily"
            )
        return tuple(found)

    @property
    def free(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def check_word(word: str, names: Iterable[str] = (), tags: Iterable[str] = ()) -> WordCheck:
    """What is known of a word.  names, tags: a tagger's characters and other tags, as the atlas
    writes them.

    Raises: MissingPackageError.
    """
    own, known = plain(word), []
    if own in atlas():
        known.append(f"it is a tag ({category_of(own)})")
    elif own in set(tags):
        known.append("it is a tag that the tagger knows")
    same = [name for name in names if own in (name, name.split(" (")[0], name.split()[0])]
    if same:
        known.append(f"it is a known character's name ({sorted(same)[0]})")
    parts = own.replace("-", " ").replace("_", " ").split()
    return WordCheck(
        word, count_tokens(word), bool(parts) and all(is_word(part) for part in parts), tuple(known)
    )


def suggest_words(
    word: str, count: int, names: Iterable[str] = (), tags: Iterable[str] = ()
) -> list[str]:
    """Free words of two tokens that can be spoken, the same for the same word; the first ones sound
    like it.
    """
    names, tags = frozenset(names), frozenset(tags)
    found: list[str] = []
    for candidate in _candidates(word):
        check = check_word(candidate, names, tags)
        if check.free and check.tokens == 2 and candidate not in found:
            found.append(candidate)
            if len(found) == count:
                break
    return found


def _candidates(word: str) -> Iterator[str]:
    chance = random.Random(word)
    letters = "".join(letter for letter in word.lower() if letter.isascii() and letter.isalpha())
    for _ in range(40 if len(letters) >= 3 else 0):
        yield (
            letters[: chance.randint(3, min(5, len(letters)))]
            + chance.choice(_ENDS[1:])
            + chance.choice(_VOWELS)
        )
    for _ in range(400):
        yield "".join(
            chance.choice(_ONSETS) + chance.choice(_VOWELS) for _ in range(2)
        ) + chance.choice(_ENDS)


def ordinary_words(tokens: int) -> list[str]:
    """Words of this number of tokens that mean something: what a model makes of a word grows with
    its tokens.
    """
    count = len(_ORDINARY)
    return [
        " ".join(_ORDINARY[(start + step) % count] for step in range(tokens))
        for start in range(count)
    ]


def meaningless_words(tokens: int) -> list[str]:
    """As many words of this number of tokens that mean nothing, always the same: the rarest tokens,
    or random letters.

    Raises: MissingPackageError.
    """
    count, chance = len(_ORDINARY), random.Random(1)
    found = rare_words(count) if tokens == 1 else []
    while len(found) < count:
        word = "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=2 * tokens + chance.randint(0, 2)))
        if count_tokens(word) == tokens:
            found.append(word)
    return found
