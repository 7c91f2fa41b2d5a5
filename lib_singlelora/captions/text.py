"""Captions: tags between commas, and kohya's way of varying them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

# Their underscores are part of the face.  The first of them are those of SmilingWolf's
# demonstration space.
KAOMOJI = frozenset(
    """
    0_0 (o)_(o) +_+ +_- ._. <o>_<o> <|>_<|> =_= >_< 3_3 6_9 >_o @_@ ^_^ o_o u_u x_x |_| ||_||
    t_t ;_; -_- o_< d_d
    """.split()
)


def spaced(tag: str) -> str:
    """A tag as prompts write it: spaces for underscores, except in kaomoji."""
    return tag if tag in KAOMOJI else tag.replace("_", " ")


def underscored(tag: str) -> str:
    """A tag as danbooru writes it: underscores for spaces."""
    return tag.replace(" ", "_")


def split_tags(caption: str) -> list[str]:
    """The tags of a caption, of all its lines, trimmed, without empty ones."""
    return [tag for piece in re.split(r"[,\n]", caption) if (tag := piece.strip())]


def join_tags(tags: Iterable[str]) -> str:
    """One caption from tags, trimmed, without empty ones and duplicates (the first stays)."""
    return ", ".join(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))


def compose_caption(
    caption: str,
    chance: random.Random,
    *,
    shuffle: bool = True,
    keep_tokens: int = 2,
    caption_dropout: float = 0.0,
    tag_dropout: float = 0.0,
    wildcards: bool = False,
    prefix: str = "",
    suffix: str = "",
) -> str:
    """The caption as one training step sees it.

    keep_tokens: tags at the front that keep their place and are never dropped.
    caption_dropout, tag_dropout: probabilities, 0 to 1.
    wildcards: resolve `{a|b}`, and draw one of several lines.
    Source: kohya-ss/sd-scripts, library/train_util.py BaseDataset.process_caption, in its order.
    """
    caption = " ".join(part for part in (prefix, caption, suffix) if part)
    if caption_dropout > 0 and chance.random() < caption_dropout:
        return ""
    lines = [line for line in caption.splitlines() if line.strip()] or [""]
    caption = chance.choice(lines) if wildcards else lines[0]
    if wildcards:
        caption = re.sub(
            r"\{([^{}]+)\}", lambda match: chance.choice(match.group(1).split("|")), caption
        )
    if not shuffle and tag_dropout <= 0:
        return caption.strip()
    tags = split_tags(caption)
    fixed = tags[:keep_tokens]
    flexible = tags[keep_tokens:]
    if shuffle:
        chance.shuffle(flexible)
    if tag_dropout > 0:
        flexible = [tag for tag in flexible if chance.random() >= tag_dropout]
    return ", ".join(fixed + flexible)
