"""Doubts about the taggers' answers: what the crops of one picture cannot show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from ..captions.plausibility import Doubt, Sight, find_doubts
from ..captions.pruning import Policy
from ..crops.body import background_colour, colour_names
from ..errors import PictureError
from ..imaging.load import read_rgb
from ..imaging.mask_reader import read_mask
from ..workspace.crops import view_parts, view_tags
from ..workspace.workspace import Workspace

WHOLE = ""  # the name of the prepared picture among its crops
ALL_OF_IT = 0.9  # share of each part from which a crop shows the whole character
NAMED = 8  # tags in the note
LEAST = 0.05  # probability of a tag that may matter


def whole_picture(workspace: Workspace) -> Image.Image | None:
    """The prepared picture; None where it is gone or cannot be read."""
    try:
        return read_rgb(workspace.prepared) if workspace.prepared.exists() else None
    except PictureError:
        return None


def doubts_of(
    workspace: Workspace,
    pictures: Sequence[Path],
    tags: Mapping[str, Sequence[str]],
    scores: Mapping[str, Mapping[str, float]],
) -> dict[str, list[Doubt]]:
    """The doubted tags of each crop by the stem of its file.

    The user's own pictures are no part of the source, so that nothing of them is doubted.

    tags, scores: the taggers' answers by stem; those of the whole picture by `WHOLE`.
    """
    framings = view_tags(workspace)
    parts = view_parts(workspace)
    sights = {}
    for name in [WHOLE, *(path.stem for path in pictures)]:
        if name not in scores or (name != WHOLE and name not in framings):
            continue
        shows = parts.get(name, {})
        sights[name] = Sight(
            tuple(tags[name]),
            {tag: score for tag, score in scores[name].items() if score >= LEAST},
            framings.get(name, ()),
            shows,
            name == WHOLE or _is_whole(framings[name], shows),
        )
    doubts = find_doubts(sights, _plain_background(workspace))
    return {name: doubts.get(name, []) for name in (path.stem for path in pictures)}


def record_of(doubts: Mapping[str, Sequence[Doubt]], policy: Policy) -> dict[str, Any]:
    """What the stage's record keeps of the doubts: all of them, and a note for the user.

    policy: what captions leave out anyway is not in the note.
    """
    by_tag: dict[str, list[str]] = {}
    for name, doubted in doubts.items():
        for doubt in doubted:
            if policy.prunes(doubt.tag, frozenset()):
                continue
            by_tag.setdefault(doubt.tag, []).append(name)
    named = [f"{tag} ({', '.join(names)})" for tag, names in list(by_tag.items())[:NAMED]]
    more = len(by_tag) - len(named)
    note = (
        f"left out as implausible: {', '.join(named)}{f' and {more} more' if more else ''}; what"
        " is true all the same comes back by caption.keep"
    )
    return {
        "doubts": {
            name: [asdict(doubt) for doubt in doubted]
            for name, doubted in doubts.items()
            if doubted
        },
        "notes": [note] if by_tag else [],
    }


def _is_whole(framing: Sequence[str], shows: Mapping[str, float]) -> bool:
    shares = [share for part, share in shows.items() if part != "background"]
    return min(shares) >= ALL_OF_IT if shares else "full body" in framing


def _plain_background(workspace: Workspace) -> frozenset[str] | None:
    """The names of the background's one colour; None for a lively one."""
    image = whole_picture(workspace)
    if image is None or not workspace.mask.exists():
        return None
    try:
        mask = read_mask(workspace.mask).image
    except PictureError:
        return None
    if mask.size != image.size:
        return None
    colour = background_colour(image, mask)
    return None if colour is None else colour_names(colour)
