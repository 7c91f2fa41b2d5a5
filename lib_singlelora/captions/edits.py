"""The same edit of many captions, and a table of the tags in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..errors import SettingsError
from .tag_categories import plain
from .text import KAOMOJI, join_tags, split_tags


def edit_caption(
    caption: str,
    add: Sequence[str] = (),
    remove: Iterable[str] = (),
    replace: Mapping[str, str] | None = None,
) -> str:
    """The caption with tags replaced in place, then removed, then appended unless present.

    A tag matches however it is written (case, underscores, escapes).  A caption that the edit does
    not change is returned letter for letter.  Several lines are alternatives: each is edited.
    """
    lines = [line for line in caption.splitlines() if line.strip()]
    if len(lines) > 1:
        edited = [edit_caption(line, add, remove, replace) for line in lines]
        return caption if edited == lines else "\n".join(edited)
    swaps = {plain(old): new for old, new in (replace or {}).items()}
    unwanted = set(map(plain, remove))
    before = split_tags(caption)
    after = [swaps.get(plain(tag), tag) for tag in before]
    after = [tag for tag in after if plain(tag) not in unwanted]
    present = set(map(plain, after))
    after += [tag.strip() for tag in add if plain(tag) not in present]
    return caption if after == before else join_tags(after)


def tag_table(captions: Iterable[str]) -> dict[str, int]:
    """The number of captions that have each tag, the most frequent first."""
    counts = Counter(tag for caption in captions for tag in dict.fromkeys(split_tags(caption)))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def parse_replacement(text: str) -> tuple[str, str]:
    """The two halves of `old=new`.

    A tag may be a face of equals signs (`=_=`), so of several places the first is taken that leaves
    a whole tag on both sides.

    Raises: SettingsError, for text without two halves.
    """
    halves = [
        (text[:place].strip(), text[place + 1 :].strip())
        for place, letter in enumerate(text)
        if letter == "="
    ]
    halves = [pair for pair in halves if all(pair)]
    if not halves:
        raise SettingsError(
            f"--replace {text}: expected OLD=NEW, such as 'white dress=dress'; to remove a tag use"
            " --remove"
        )
    return next(
        (pair for pair in halves if all("=" not in tag or tag in KAOMOJI for tag in pair)),
        halves[0],
    )
