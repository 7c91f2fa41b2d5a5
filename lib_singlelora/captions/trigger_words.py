"""Whether a word is free to be a trigger, by its tokens and by the lists that already hold it.

No checkpoint is needed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .tag_categories import categories_by_tag, category_of, plain
from .tokens import count_tokens, is_word, rare_words

MOST_TOKENS = 4
_ONSETS = "b d f g k l m n p r s t v z br dr kr tr vr zh kh th".split()
_VOWELS = "a e i o u y ae ui".split()
_ENDS = ["", *"k l m n r x z q v sk rn".split()]
# One token each, known to every checkpoint that was trained on tags.
_ORDINARY = ("hat", "smile", "outdoors", "standing", "dress", "sitting", "portrait", "hair")


@dataclass(frozen=True)
class WordCheck:
    """What is known of a word.

    tokens: how many CLIP tokens it has.
    ordinary: True if every part of it is one whole token of CLIP's.
    known: sentences that tell which lists hold it.
    """

    word: str
    tokens: int
    ordinary: bool
    known: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons against it; none when it is free."""
        reasons = list(self.known)
        if self.ordinary:
            several = len(self.word.split()) > 1
            reasons.append(
                "each of its words is one whole token to CLIP, so it already means something"
                if several
                else "it is one whole token to CLIP, so it already means something"
            )
        if self.tokens > MOST_TOKENS:
            reasons.append(
                f"it is {self.tokens} tokens; words of up to {MOST_TOKENS} are learned more easily"
            )
        return tuple(reasons)

    @property
    def free(self) -> bool:
        """True if nothing speaks against it."""
        return not self.reasons


def check_word(word: str, names: Iterable[str] = (), tags: Iterable[str] = ()) -> WordCheck:
    """What is known of a word.

    names, tags: a tagger's characters and its other tags, as the list of categories writes them.
    Raises: MissingPackageError.
    """
    tag = plain(word)
    known = []
    if tag in categories_by_tag():
        known.append(f"it is a tag ({category_of(tag)})")
    elif tag in set(tags):
        known.append("it is a tag that the tagger knows")
    namesakes = [name for name in names if tag in (name, name.split(" (")[0], name.split()[0])]
    if namesakes:
        known.append(f"it is a known character's name ({min(namesakes)})")
    parts = tag.replace("-", " ").replace("_", " ").split()
    ordinary = bool(parts) and all(is_word(part) for part in parts)
    return WordCheck(word, count_tokens(word), ordinary, tuple(known))


def suggest_words(
    word: str, count: int, names: Iterable[str] = (), tags: Iterable[str] = ()
) -> list[str]:
    """Free, pronounceable words of two tokens; the first ones sound like the given word.

    The same word always gets the same suggestions.
    """
    names = frozenset(names)
    tags = frozenset(tags)
    suggestions: list[str] = []
    for candidate in _candidates(word):
        check = check_word(candidate, names, tags)
        if check.free and check.tokens == 2 and candidate not in suggestions:
            suggestions.append(candidate)
            if len(suggestions) == count:
                break
    return suggestions


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
    """Meaningful words of this number of tokens.

    They are a measure: the effect of any word on a model grows with its tokens.
    """
    count = len(_ORDINARY)
    return [
        " ".join(_ORDINARY[(start + step) % count] for step in range(tokens))
        for start in range(count)
    ]


def meaningless_words(tokens: int) -> list[str]:
    """As many meaningless words of this number of tokens: the rarest tokens, or random letters.

    They are the same at every call.
    Raises: MissingPackageError.
    """
    count = len(_ORDINARY)
    chance = random.Random(1)
    words = rare_words(count) if tokens == 1 else []
    while len(words) < count:
        word = "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=2 * tokens + chance.randint(0, 2)))
        if count_tokens(word) == tokens:
            words.append(word)
    return words
