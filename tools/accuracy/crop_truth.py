"""What a crop of a drawing truly shows, by where the renderer drew each part."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.world.scenes.geometry import Box, parts
from tools.world.scenes.scene import Drawing
from tools.world.scenes.spec import Character, Scene
from tools.world.scenes.tags import tags

# Of each drawing the rows of its parts, as shares of its height, and the tags that are true there,
# colours under every name that may be given to them.
DRAWINGS = Path(__file__).parent / "drawings.json"
CLEAR = 0.5  # share of a part from which a crop shows it clearly
HINT = 0.02  # share below which it does not show it at all
HANDS = ("cuffs", "gloves")
TOPS = ("shirt", "dress", "corset", "collar", "capelet", "scarf", "laces")


@dataclass(frozen=True)
class Truth:
    """The tags that a crop clearly shows, and those that are not false of it."""

    clear: frozenset[str]
    possible: frozenset[str]


def truth_of(scene: Scene, drawing: Drawing, box: tuple[int, int, int, int]) -> Truth:
    """The truth of a crop.  box: in the drawing, pixels."""
    [who] = scene.characters
    whole = tags(replace(scene, framing="full body"))
    places = {
        name: drawing.window.to_pixels(_mirrored(place) if scene.mirrored else place)
        for name, place in parts(who, scene.pose, scene.view).items()
    }
    left, top, right, bottom = box
    shares = {name: _share(place, box) for name, place in places.items()}
    shares["background"] = 1 - float(drawing.mask[top:bottom, left:right].mean())
    clear = set()
    possible = set()
    for tag in whole:
        names = _parts(tag, who)
        share = max((shares.get(name, 0.0) for name in names), default=1.0)
        if share >= (0.1 if names == ("background",) else CLEAR):
            clear.add(tag)
        if share > HINT or tag in ("1girl", "solo"):
            possible.add(tag)
    return Truth(frozenset(clear), frozenset(possible))


def truth_of_drawing(name: str, mask: NDArray[np.bool_], box: tuple[int, int, int, int]) -> Truth:
    """The truth of a crop of one of `examples/drawings`, by its rows in `drawings.json`.

    mask: its figure, (H, W).
    box: in the drawing, pixels.
    """
    drawing = json.loads(DRAWINGS.read_text(encoding="utf-8"))[name]
    left, top, right, bottom = box
    rows = {
        part: (0.0, start * mask.shape[0], 1.0, end * mask.shape[0])
        for part, (start, end) in drawing["rows"].items()
    }
    shares = {part: _share(row, (0, top, 1, bottom)) for part, row in rows.items()}
    shares["background"] = 1 - float(mask[top:bottom, left:right].mean())
    clear: set[str] = set()
    possible: set[str] = set()
    for part, told in drawing["tags"].items():
        share = shares.get(part, 1.0)
        if share >= (0.1 if part == "background" else CLEAR):
            clear.update(told)
        if share > HINT:
            possible.update(told)
    return Truth(frozenset(clear), frozenset(possible))


def _mirrored(box: Box) -> Box:
    return -box[2], box[1], -box[0], box[3]


def _share(part: Box, box: tuple[int, int, int, int]) -> float:
    width = min(part[2], box[2]) - max(part[0], box[0])
    height = min(part[3], box[3]) - max(part[1], box[1])
    area = (part[2] - part[0]) * (part[3] - part[1])
    return max(0.0, width) * max(0.0, height) / max(1.0, area)


def _parts(tag: str, who: Character) -> tuple[str, ...]:
    """The renderer's parts on which the tag is drawn; () for what any crop shows."""
    word = tag.split()[-1]
    if word == "background" or tag in ("indoors", "outdoors"):
        return ("background",)
    if tag in ("full body", "1girl", "solo", "from side", "from behind", "polka dot"):
        return ()
    if tag in ("looking at viewer", "closed eyes", "eyepatch") or word == "eyes":
        return ("eyes",)
    if word == "bangs":
        return ("bangs",)
    if tag in ("smile", "open mouth", "frown", "angry", "blush"):
        return ("face",)
    if "hat" in tag.split() or tag in ("hair bow", "hair ribbon") or word in ("bow", "ribbon"):
        return ("hat",)
    if word == "hair" or tag in ("bob cut", "twintails", "ponytail", "cat ears"):
        return ("head",)
    if tag in ("standing", "sitting"):
        return ("legs",)
    if tag in ("arms up", "waving") or word in HANDS:
        return ("hands",)
    if tag in ("hand on hip", "arms behind back"):
        return ("torso",)
    if word == "boots" or tag in ("shoes", "cross-laced footwear"):
        return ("feet",)
    if word == "pants":
        return ("legs",)
    if word in ("skirt", "miniskirt", "frills") or word == "stripes":
        return ("skirt",)
    if word == "dress":
        return ("torso", "skirt")
    if word in TOPS:
        return ("torso",)
    raise ValueError(f"{tag}: no part of the renderer is known for it; add it here")
